<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="de_DE" sourcelanguage="en">
    <context>
        <name>DataSufficiency</name>
        <message>
            <source>Data Sufficiency</source>
            <translation>Genug Daten?</translation>
        </message>
        <message>
            <source>Shows while you annotate what each additional case is expected to bring, which training strategy pays, which case is next and when to stop. Needs a MONAI Label server with the Scaling App.</source>
            <translation>Zeigt während des Annotierens, was jeder weitere Fall bringen dürfte, welche Trainingsstrategie sich lohnt, welcher Fall der nächste ist und wann Schluss sein kann. Braucht einen MONAI-Label-Server mit der Scaling App.</translation>
        </message>
        <message>
            <source>Talks to a server of MONAI Label (Project MONAI). Licensed under the Apache License 2.0.</source>
            <translation>Spricht mit einem Server von MONAI Label (Project MONAI). Lizenz: Apache License 2.0.</translation>
        </message>
        <message>
            <source>Server</source>
            <translation>Server</translation>
        </message>
        <message>
            <source>Address:</source>
            <translation>Adresse:</translation>
        </message>
        <message>
            <source>Where the MONAI Label server with the Scaling App runs, for example http://127.0.0.1:8000</source>
            <translation>Wo der MONAI-Label-Server mit der Scaling App läuft, zum Beispiel http://127.0.0.1:8000</translation>
        </message>
        <message>
            <source>Test connection</source>
            <translation>Verbindung prüfen</translation>
        </message>
        <message>
            <source>Ask the server who it is, and load its forecast. Nothing is sent but the question.</source>
            <translation>Fragt den Server, wer er ist, und lädt seine Prognose. Gesendet wird nur die Frage.</translation>
        </message>
        <message>
            <source>Your name at this server</source>
            <translation>Ihr Name auf diesem Server</translation>
        </message>
        <message>
            <source>User name</source>
            <translation>Benutzername</translation>
        </message>
        <message>
            <source>Your password at this server; it is kept in memory only</source>
            <translation>Ihr Passwort auf diesem Server; es bleibt nur im Arbeitsspeicher</translation>
        </message>
        <message>
            <source>Password</source>
            <translation>Passwort</translation>
        </message>
        <message>
            <source>Sign in</source>
            <translation>Anmelden</translation>
        </message>
        <message>
            <source>Send name and password to this server. Neither is stored.</source>
            <translation>Sendet Name und Passwort an diesen Server. Nichts davon wird gespeichert.</translation>
        </message>
        <message>
            <source>Case</source>
            <translation>Fall</translation>
        </message>
        <message>
            <source>Order:</source>
            <translation>Reihenfolge:</translation>
        </message>
        <message>
            <source>How the server picks the next case</source>
            <translation>Wie der Server den nächsten Fall aussucht</translation>
        </message>
        <message>
            <source>Next case</source>
            <translation>Nächster Fall</translation>
        </message>
        <message>
            <source>Load the next case from the server</source>
            <translation>Lädt den nächsten Fall vom Server</translation>
        </message>
        <message>
            <source>Send the label of this case first</source>
            <translation>Zuerst die Annotation dieses Falls einreichen</translation>
        </message>
        <message>
            <source>Submit them</source>
            <translation>Einreichen</translation>
        </message>
        <message>
            <source>Discard them</source>
            <translation>Verwerfen</translation>
        </message>
        <message>
            <source>What was drawn on this case is lost</source>
            <translation>Was auf diesem Fall gezeichnet wurde, geht verloren</translation>
        </message>
        <message>
            <source>Go on drawing on this case</source>
            <translation>An diesem Fall weiterzeichnen</translation>
        </message>
        <message>
            <source>Stay</source>
            <translation>Bleiben</translation>
        </message>
        <message>
            <source>Active minutes on this case. They pause when nothing moves for a minute, and are sent with the label.</source>
            <translation>Aktive Minuten an diesem Fall. Sie pausieren, wenn sich eine Minute lang nichts bewegt, und werden mit der Annotation gesendet.</translation>
        </message>
        <message>
            <source>Fill in the prediction</source>
            <translation>Vorschlag einsetzen</translation>
        </message>
        <message>
            <source>Before the label is sent, please say:</source>
            <translation>Bevor die Annotation gesendet wird, bitte angeben:</translation>
        </message>
        <message>
            <source>Send the label with these answers</source>
            <translation>Die Annotation mit diesen Antworten senden</translation>
        </message>
        <message>
            <source>Send the label</source>
            <translation>Annotation senden</translation>
        </message>
        <message>
            <source>Send nothing yet, and change the segmentation</source>
            <translation>Noch nichts senden und die Segmentierung ändern</translation>
        </message>
        <message>
            <source>Back to the segmentation</source>
            <translation>Zurück zur Segmentierung</translation>
        </message>
        <message>
            <source>Submit label</source>
            <translation>Annotation einreichen</translation>
        </message>
        <message>
            <source>Labels that were not sent yet</source>
            <translation>Annotationen, die noch nicht gesendet wurden</translation>
        </message>
        <message>
            <source>Send the chosen one to the server</source>
            <translation>Das Gewählte an den Server senden</translation>
        </message>
        <message>
            <source>Send again</source>
            <translation>Erneut senden</translation>
        </message>
        <message>
            <source>Discard...</source>
            <translation>Verwerfen...</translation>
        </message>
        <message>
            <source>Delete the chosen one from this computer; asks once more</source>
            <translation>Löscht das Gewählte von diesem Rechner; fragt noch einmal nach</translation>
        </message>
        <message>
            <source>Forecast: table and plot</source>
            <translation>Prognose: Tabelle und Kurve</translation>
        </message>
        <message>
            <source>Structure:</source>
            <translation>Struktur:</translation>
        </message>
        <message>
            <source>Show the forecast of one structure, or of all together</source>
            <translation>Zeigt die Prognose einer Struktur oder aller zusammen</translation>
        </message>
        <message>
            <source>Target, points:</source>
            <translation>Ziel, Punkte:</translation>
        </message>
        <message>
            <source>The Dice, in points from 0 to 100, at which you would stop</source>
            <translation>Der Dice, in Punkten von 0 bis 100, bei dem Sie aufhören würden</translation>
        </message>
        <message>
            <source>none</source>
            <translation>keines</translation>
        </message>
        <message>
            <source>Set</source>
            <translation>Festlegen</translation>
        </message>
        <message>
            <source>Tell the server this target; it applies to everybody who labels there</source>
            <translation>Nennt dem Server dieses Ziel; es gilt für alle, die dort annotieren</translation>
        </message>
        <message>
            <source>Clear</source>
            <translation>Aufheben</translation>
        </message>
        <message>
            <source>Take the target back, for everybody who labels there</source>
            <translation>Nimmt das Ziel zurück, für alle, die dort annotieren</translation>
        </message>
        <message>
            <source>What the next case is worth</source>
            <translation>Was der nächste Fall wert ist</translation>
        </message>
        <message>
            <source>Labels in doubt</source>
            <translation>Zweifelhafte Annotationen</translation>
        </message>
        <message>
            <source>The label to look at again, or to confirm</source>
            <translation>Die Annotation, die noch einmal angesehen oder bestätigt werden soll</translation>
        </message>
        <message>
            <source>Look at it again</source>
            <translation>Noch einmal ansehen</translation>
        </message>
        <message>
            <source>Load this case with its label, to correct and submit it. Submit the case at hand first.</source>
            <translation>Lädt diesen Fall mit seiner Annotation, damit Sie sie korrigieren und einreichen können. Reichen Sie zuerst den jetzigen Fall ein.</translation>
        </message>
        <message>
            <source>It is right</source>
            <translation>Sie ist richtig</translation>
        </message>
        <message>
            <source>Tell the server that this label is right as it is; it then counts in the forecast</source>
            <translation>Sagt dem Server, dass diese Annotation so richtig ist; sie zählt dann in der Prognose</translation>
        </message>
        <message>
            <source>Measure the learning curve</source>
            <translation>Lernkurve messen</translation>
        </message>
        <message>
            <source>The server trains test models, and compares the strategies that it was told to; it goes on while you label</source>
            <translation>Der Server trainiert Probemodelle und vergleicht die Strategien, die ihm genannt sind; das läuft, während Sie annotieren</translation>
        </message>
        <message>
            <source>Strategies: what makes each case worth more</source>
            <translation>Strategien: was jeden Fall mehr wert macht</translation>
        </message>
        <message>
            <source>Strategies</source>
            <translation>Strategien</translation>
        </message>
        <message>
            <source>Training</source>
            <translation>Training</translation>
        </message>
        <message>
            <source>Train on the server with the labels that it has; go on labelling meanwhile</source>
            <translation>Trainiert auf dem Server mit den vorhandenen Annotationen; annotieren Sie inzwischen weiter</translation>
        </message>
        <message>
            <source>Start training</source>
            <translation>Training starten</translation>
        </message>
        <message>
            <source>Stop the training that is running on the server</source>
            <translation>Das laufende Training auf dem Server anhalten</translation>
        </message>
        <message>
            <source>Stop</source>
            <translation>Anhalten</translation>
        </message>
        <message>
            <source>Progress of the training</source>
            <translation>Fortschritt des Trainings</translation>
        </message>
        <message>
            <source>Options</source>
            <translation>Optionen</translation>
        </message>
        <message>
            <source>What to train:</source>
            <translation>Was trainieren:</translation>
        </message>
        <message>
            <source>The model that makes the predictions, or the learning curve that the forecast rests on</source>
            <translation>Das Modell, von dem die Vorschläge kommen, oder die Lernkurve, auf der die Prognose beruht</translation>
        </message>
        <message>
            <source>Strategy:</source>
            <translation>Strategie:</translation>
        </message>
        <message>
            <source>How more is made of your cases; the list of strategies says what each does and what pays</source>
            <translation>Wie mehr aus Ihren Fällen gemacht wird; die Liste der Strategien sagt, was jede tut und was sich lohnt</translation>
        </message>
        <message>
            <source>Training steps:</source>
            <translation>Trainingsschritte:</translation>
        </message>
        <message>
            <source>More steps take longer and may help; with “auto” more labels mean more steps. They hold for the model and for the learning curve, which is then measured anew.</source>
            <translation>Mehr Schritte dauern länger und können helfen; mit „automatisch“ werden es mit mehr Annotationen mehr. Sie gelten für das Modell und für die Lernkurve, die dann neu gemessen wird.</translation>
        </message>
        <message>
            <source>Coverage: cases unlike those labelled so far</source>
            <translation>Abdeckung: Fälle, die den bisherigen nicht gleichen</translation>
        </message>
        <message>
            <source>Cases unlike those labelled so far</source>
            <translation>Fälle, die den bisherigen nicht gleichen</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.case_nodes</name>
        <message>
            <source>Slicer cannot read {file} as an image</source>
            <translation>Slicer kann {file} nicht als Bild lesen</translation>
        </message>
        <message>
            <source>Slicer cannot read the segmentation that the server sent</source>
            <translation>Slicer kann die Segmentierung nicht lesen, die der Server geschickt hat</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.case_section</name>
        <message>
            <source>Send this label to the server</source>
            <translation>Sendet diese Annotation an den Server</translation>
        </message>
        <message>
            <source>{minutes} active</source>
            <translation>{minutes} aktiv</translation>
        </message>
        <message>
            <source>{minutes} active, paused</source>
            <translation>{minutes} aktiv, pausiert</translation>
        </message>
        <message>
            <source>No case is loaded</source>
            <translation>Kein Fall geladen</translation>
        </message>
        <message>
            <source>Ask the server's model for a first segmentation of this case</source>
            <translation>Bittet das Modell des Servers um einen Vorschlag für diesen Fall</translation>
        </message>
        <message>
            <source>{case} has changes that were not submitted.</source>
            <translation>{case} hat Änderungen, die nicht eingereicht sind.</translation>
        </message>
        <message>
            <source>Not sent yet, kept on this computer: {count}.</source>
            <translation>Noch nicht gesendet, auf diesem Rechner aufbewahrt: {count}.</translation>
        </message>
        <message>
            <source>The label has arrived, only the minutes have not: {cases}.</source>
            <translation>Die Annotation ist angekommen, nur die Minuten noch nicht: {cases}.</translation>
        </message>
        <message>
            <source>No longer on the server: {cases}.</source>
            <translation>Nicht mehr auf dem Server: {cases}.</translation>
        </message>
        <message>
            <source>Connect to {server} to send.</source>
            <translation>Zum Senden mit {server} verbinden.</translation>
        </message>
        <message>
            <source>Kept in {folder}</source>
            <translation>Aufbewahrt in {folder}</translation>
        </message>
        <message>
            <source>{case} was opened from another server, or under another address of this one. If two servers name two patients alike, its label would be stored with the wrong patient. Does it belong to {server}?</source>
            <translation>{case} wurde von einem anderen Server geöffnet oder unter einer anderen Adresse dieses Servers. Wenn zwei Server zwei Patienten gleich benennen, würde die Annotation beim falschen Patienten gespeichert. Gehört der Fall zu {server}?</translation>
        </message>
        <message>
            <source>Delete the unsent label of {case} from this computer? It cannot be brought back.</source>
            <translation>Die nicht gesendete Annotation von {case} von diesem Rechner löschen? Sie lässt sich nicht zurückholen.</translation>
        </message>
        <message>
            <source>Delete the minutes of {case} from this computer? They cannot be brought back. The label itself is on the server and stays there.</source>
            <translation>Die Minuten von {case} von diesem Rechner löschen? Sie lassen sich nicht zurückholen. Die Annotation selbst ist auf dem Server und bleibt dort.</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.effects_sections</name>
        <message>
            <source>Strategy</source>
            <translation>Strategie</translation>
        </message>
        <message>
            <source>Worth,
in cases
(80 %)</source>
            <translation>Wert,
in Fällen
(80 %)</translation>
        </message>
        <message>
            <source>Gain,
in points
(80 %)</source>
            <translation>Gewinn,
in Punkten
(80 %)</translation>
        </message>
        <message>
            <source>How many cases one case is worth, and the difference in Dice, both against the session's own strategy on the same cases. In brackets: the range that holds with 80 % probability</source>
            <translation>Wie viele Fälle ein Fall wert ist, und der Unterschied im Dice, beides verglichen mit der eigenen Strategie der Sitzung auf denselben Fällen. In Klammern: der Bereich, in dem der Wert mit 80 % Wahrscheinlichkeit liegt</translation>
        </message>
        <message>
            <source>auto</source>
            <translation>automatisch</translation>
        </message>
        <message>
            <source>Case</source>
            <translation>Fall</translation>
        </message>
        <message>
            <source>Distance</source>
            <translation>Abstand</translation>
        </message>
        <message>
            <source>How far its shape lies outside the labelled ones, as a multiple of what is usual among them</source>
            <translation>Wie weit die Form außerhalb der annotierten liegt, als Vielfaches dessen, was unter diesen üblich ist</translation>
        </message>
        <message>
            <source>{times} times</source>
            <translation>{times}-fach</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.forecast_words</name>
        <message>
            <source>{strategy}, longer training</source>
            <translation>{strategy}, längeres Training</translation>
        </message>
        <message>
            <source>{whole}.{tenth}</source>
            <translation>{whole},{tenth}</translation>
        </message>
        <message>
            <source>{mean} ({low} to {high})</source>
            <translation>{mean} ({low} bis {high})</translation>
        </message>
        <message>
            <source>under 1 %</source>
            <translation>unter 1 %</translation>
        </message>
        <message>
            <source>over 99 %</source>
            <translation>über 99 %</translation>
        </message>
        <message>
            <source>{percent} %</source>
            <translation>{percent} %</translation>
        </message>
        <message>
            <source>{minutes} min</source>
            <translation>{minutes} min</translation>
        </message>
        <message>
            <source>{hours} h</source>
            <translation>{hours} h</translation>
        </message>
        <message>
            <source>{hours} h {minutes} min</source>
            <translation>{hours} h {minutes} min</translation>
        </message>
        <message>
            <source>with {n} cases in all</source>
            <translation>mit insgesamt {n} Fällen</translation>
        </message>
        <message>
            <source>{percent} chance of at least one point</source>
            <translation>{percent} Wahrscheinlichkeit für mindestens einen Punkt</translation>
        </message>
        <message>
            <source>target {dice}</source>
            <translation>Ziel {dice}</translation>
        </message>
        <message>
            <source>beyond {times} times the cases</source>
            <translation>über dem {times}-Fachen der Fälle</translation>
        </message>
        <message>
            <source>reached</source>
            <translation>erreicht</translation>
        </message>
        <message>
            <source>+{median} ({low} or more)</source>
            <translation>+{median} (ab {low})</translation>
        </message>
        <message>
            <source>+{median} ({low} to {high})</source>
            <translation>+{median} ({low} bis {high})</translation>
        </message>
        <message>
            <source>{percent} chance that it is reached already</source>
            <translation>mit {percent} Wahrscheinlichkeit schon erreicht</translation>
        </message>
        <message>
            <source>{percent} chance that no number of cases reaches it</source>
            <translation>mit {percent} Wahrscheinlichkeit mit keiner Fallzahl erreichbar</translation>
        </message>
        <message>
            <source>The server has not answered for {time}.</source>
            <translation>Der Server antwortet seit {time} nicht.</translation>
        </message>
        <message>
            <source>It rests on {used} of {all} labels.</source>
            <translation>Sie beruht auf {used} von {all} Annotationen.</translation>
        </message>
        <message>
            <source>{percent} of this forecast rests on your own cases, the rest on learning curves of other tasks. The gains rest on those even more.</source>
            <translation>{percent} dieser Prognose beruhen auf Ihren eigenen Fällen, der Rest auf Lernkurven anderer Aufgaben. Beim Gewinn ist deren Anteil noch größer.</translation>
        </message>
        <message>
            <source>Left out of the forecast until you have looked at them again:</source>
            <translation>Nicht in der Prognose, bis Sie sie noch einmal angesehen haben:</translation>
        </message>
        <message>
            <source>To be looked at where the server's files are:</source>
            <translation>Anzusehen, wo die Dateien des Servers liegen:</translation>
        </message>
        <message>
            <source>and {count} more</source>
            <translation>und {count} weitere</translation>
        </message>
        <message>
            <source>How old the forecast is cannot be told: the server's clock was changed.</source>
            <translation>Wie alt die Prognose ist, lässt sich nicht sagen: Die Uhr des Servers wurde verstellt.</translation>
        </message>
        <message>
            <source>Forecast made just now.</source>
            <translation>Prognose gerade erstellt.</translation>
        </message>
        <message>
            <source>Forecast made {time} ago.</source>
            <translation>Prognose vor {time} erstellt.</translation>
        </message>
        <message>
            <source>A new forecast is being computed.</source>
            <translation>Eine neue Prognose wird berechnet.</translation>
        </message>
        <message>
            <source>The last measurement: {sentence}</source>
            <translation>Letzte Messung: {sentence}</translation>
        </message>
        <message>
            <source>The learning curve is being measured: {done} of {total} trainings are done.</source>
            <translation>Die Lernkurve wird gemessen: {done} von {total} Trainings sind fertig.</translation>
        </message>
        <message>
            <source>The learning curve is being measured.</source>
            <translation>Die Lernkurve wird gemessen.</translation>
        </message>
        <message>
            <source>test cases: {count}</source>
            <translation>Testfälle: {count}</translation>
        </message>
        <message>
            <source>80 % range: {low} to {high} points</source>
            <translation>80-%-Bereich: {low} bis {high} Punkte</translation>
        </message>
        <message>
            <source>each tested before it was trained on</source>
            <translation>jeder geprüft, bevor damit trainiert wurde</translation>
        </message>
        <message>
            <source>cases held back from training</source>
            <translation>vom Training zurückgehaltene Fälle</translation>
        </message>
        <message>
            <source>trained on some of the cases, tested on others</source>
            <translation>mit einem Teil der Fälle trainiert, an anderen geprüft</translation>
        </message>
        <message>
            <source>{name}: how many cases it is worth is not known yet.</source>
            <translation>{name}: Wie viele Fälle sie wert ist, ist noch nicht bekannt.</translation>
        </message>
        <message>
            <source>{name}: not measured yet.</source>
            <translation>{name}: noch nicht gemessen.</translation>
        </message>
        <message>
            <source>With {name} your {n} cases work like {mean}.</source>
            <translation>Mit {name} wirken Ihre {n} Fälle wie {mean}.</translation>
        </message>
        <message>
            <source>With {name} your {n} cases work like {mean} ({low} to {high}).</source>
            <translation>Mit {name} wirken Ihre {n} Fälle wie {mean} ({low} bis {high}).</translation>
        </message>
        <message>
            <source>Compared on one test case.</source>
            <translation>Verglichen auf einem Testfall.</translation>
        </message>
        <message>
            <source>Compared on {count} test cases.</source>
            <translation>Verglichen auf {count} Testfällen.</translation>
        </message>
        <message>
            <source>Surface Dice, in points: {difference}.</source>
            <translation>Oberflächen-Dice in Punkten: {difference}.</translation>
        </message>
        <message>
            <source>Measures the learning curve; the model in use stays as it is.</source>
            <translation>Misst die Lernkurve; das benutzte Modell bleibt, wie es ist.</translation>
        </message>
        <message>
            <source>Makes a new model from your label; it then makes the predictions.</source>
            <translation>Macht aus Ihrer Annotation ein neues Modell; von ihm kommen dann die Vorschläge.</translation>
        </message>
        <message>
            <source>Makes a new model from your {count} labels; it then makes the predictions.</source>
            <translation>Macht aus Ihren {count} Annotationen ein neues Modell; von ihm kommen dann die Vorschläge.</translation>
        </message>
        <message>
            <source>Makes a new model from the labels; it then makes the predictions.</source>
            <translation>Macht aus den Annotationen ein neues Modell; von ihm kommen dann die Vorschläge.</translation>
        </message>
        <message>
            <source>Until then you can go on drawing.</source>
            <translation>Bis dahin können Sie weiterzeichnen.</translation>
        </message>
        <message>
            <source>Takes about {time}, judging by the last time.</source>
            <translation>Dauert etwa {time}, gemessen am letzten Mal.</translation>
        </message>
        <message>
            <source>Takes {time} at most.</source>
            <translation>Dauert höchstens {time}.</translation>
        </message>
        <message>
            <source>How long it takes is not known yet.</source>
            <translation>Wie lange es dauert, ist noch nicht bekannt.</translation>
        </message>
        <message>
            <source>the model</source>
            <translation>das Modell</translation>
        </message>
        <message>
            <source>the learning curve</source>
            <translation>die Lernkurve</translation>
        </message>
        <message>
            <source>A new model is being trained.</source>
            <translation>Ein neues Modell wird trainiert.</translation>
        </message>
        <message>
            <source>About {time} left.</source>
            <translation>Noch etwa {time}.</translation>
        </message>
        <message>
            <source>Not measured: the learning curve compares the strategies that the server was told to compare.</source>
            <translation>Nicht gemessen: Die Lernkurve vergleicht die Strategien, die dem Server dafür genannt sind.</translation>
        </message>
        <message>
            <source>No strategy is sure to help on your cases so far.</source>
            <translation>Bisher hilft auf Ihren Fällen keine Strategie mit Sicherheit.</translation>
        </message>
        <message>
            <source>Not known yet.</source>
            <translation>Noch nicht bekannt.</translation>
        </message>
        <message>
            <source>No case without a label has been looked at.</source>
            <translation>Noch kein Fall ohne Annotation wurde angesehen.</translation>
        </message>
        <message>
            <source>Unlabelled cases looked at: {pool}. All resemble cases that have been labelled.</source>
            <translation>Angesehene Fälle ohne Annotation: {pool}. Alle gleichen Fällen mit Annotation.</translation>
        </message>
        <message>
            <source>Unlabelled cases looked at: {pool}. Outside what has been labelled so far: {outside}.</source>
            <translation>Angesehene Fälle ohne Annotation: {pool}. Anders als alles bisher Annotierte: {outside}.</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.glance_section</name>
        <message>
            <source>In brackets: the range that holds with 80 % probability. The time is judged by your pace.</source>
            <translation>In Klammern: der Bereich, in dem der Wert mit 80 % Wahrscheinlichkeit liegt. Die Zeit ist nach Ihrem Tempo geschätzt.</translation>
        </message>
        <message>
            <source>The Dice expected of a model trained on all labels so far. In brackets: its 80 % range.</source>
            <translation>Der Dice, der von einem mit allen bisherigen Annotationen trainierten Modell zu erwarten ist. In Klammern: sein 80-%-Bereich.</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.glance_words</name>
        <message>
            <source>Connect to a server to see what the next case is worth.</source>
            <translation>Verbinden Sie sich mit einem Server, um zu sehen, was der nächste Fall wert ist.</translation>
        </message>
        <message>
            <source>The server could not compute a forecast. You can go on labelling.</source>
            <translation>Der Server konnte keine Prognose berechnen. Sie können weiter annotieren.</translation>
        </message>
        <message>
            <source>Every case has a label.</source>
            <translation>Alle Fälle sind annotiert.</translation>
        </message>
        <message>
            <source>The first forecast is being computed. You can go on labelling.</source>
            <translation>Die erste Prognose wird berechnet. Sie können weiter annotieren.</translation>
        </message>
        <message>
            <source>There is no advice yet. You can go on labelling.</source>
            <translation>Es gibt noch keine Empfehlung. Sie können weiter annotieren.</translation>
        </message>
        <message>
            <source>The server says: {sentence}</source>
            <translation>Der Server schreibt: {sentence}</translation>
        </message>
        <message>
            <source>For a first forecast, labels are missing: {count}. Images without a label: {left}. Please add images on the server.</source>
            <translation>Für eine erste Prognose fehlen Annotationen: {count}. Bilder ohne Annotation: {left}. Bitte fügen Sie auf dem Server Bilder hinzu.</translation>
        </message>
        <message>
            <source>Please label one more case for a first forecast.</source>
            <translation>Bitte annotieren Sie noch einen Fall für eine erste Prognose.</translation>
        </message>
        <message>
            <source>Please label {count} cases for a first forecast.</source>
            <translation>Bitte annotieren Sie {count} Fälle für eine erste Prognose.</translation>
        </message>
        <message>
            <source>Please label {count} more cases for a first forecast.</source>
            <translation>Bitte annotieren Sie {count} weitere Fälle für eine erste Prognose.</translation>
        </message>
        <message>
            <source>The learning curve is being measured for a first forecast. You can go on labelling.</source>
            <translation>Für eine erste Prognose wird die Lernkurve gemessen. Sie können weiter annotieren.</translation>
        </message>
        <message>
            <source>For a first forecast, open “Forecast” below and press “Measure the learning curve”.</source>
            <translation>Für eine erste Prognose: Klappen Sie unten „Prognose“ auf und drücken Sie „Lernkurve messen“.</translation>
        </message>
        <message>
            <source>Please label a few cases for a first forecast.</source>
            <translation>Bitte annotieren Sie einige Fälle für eine erste Prognose.</translation>
        </message>
        <message>
            <source>You can stop: for cases of this kind the target of {dice} points is reached.</source>
            <translation>Sie können aufhören: Für Fälle dieser Art ist das Ziel von {dice} Punkten erreicht.</translation>
        </message>
        <message>
            <source>You can stop: the model is about as right as two readers agree.</source>
            <translation>Sie können aufhören: Das Modell ist etwa so genau, wie zwei Befunder übereinstimmen.</translation>
        </message>
        <message>
            <source>You can stop: more cases of this kind are hardly worth your time.</source>
            <translation>Sie können aufhören: Weitere Fälle dieser Art lohnen sich kaum.</translation>
        </message>
        <message>
            <source>The target seems to be reached, but it is too early to stop.</source>
            <translation>Das Ziel scheint erreicht, aber zum Aufhören ist es zu früh.</translation>
        </message>
        <message>
            <source>The model seems to be about as right as two readers agree, but it is too early to stop.</source>
            <translation>Das Modell scheint etwa so genau, wie zwei Befunder übereinstimmen, aber zum Aufhören ist es zu früh.</translation>
        </message>
        <message>
            <source>More cases seem to take longer than they save, but it is too early to stop.</source>
            <translation>Weitere Fälle scheinen länger zu dauern, als sie sparen, aber zum Aufhören ist es zu früh.</translation>
        </message>
        <message>
            <source>More cases seem to add little, but it is too early to stop.</source>
            <translation>Weitere Fälle scheinen wenig zu bringen, aber zum Aufhören ist es zu früh.</translation>
        </message>
        <message>
            <source>Please label the {count} cases that are left, then look again.</source>
            <translation>Bitte annotieren Sie die {count} verbliebenen Fälle und sehen Sie dann wieder nach.</translation>
        </message>
        <message>
            <source>Please label the last case, then look again.</source>
            <translation>Bitte annotieren Sie den letzten Fall und sehen Sie dann wieder nach.</translation>
        </message>
        <message>
            <source>Please label one more case, then look again.</source>
            <translation>Bitte annotieren Sie noch einen Fall und sehen Sie dann wieder nach.</translation>
        </message>
        <message>
            <source>Please label {count} more cases, then look again.</source>
            <translation>Bitte annotieren Sie {count} weitere Fälle und sehen Sie dann wieder nach.</translation>
        </message>
        <message>
            <source>Next case: {worth}.</source>
            <translation>Nächster Fall: {worth}.</translation>
        </message>
        <message>
            <source>Next 5: {worth}.</source>
            <translation>Nächste 5: {worth}.</translation>
        </message>
        <message>
            <source>{gain}, {time} of your time</source>
            <translation>{gain}, {time} Ihrer Zeit</translation>
        </message>
        <message>
            <source>{mean} points</source>
            <translation>{mean} Punkte</translation>
        </message>
        <message>
            <source>{mean} points (80 %: {low} to {high})</source>
            <translation>{mean} Punkte (80 %: {low} bis {high})</translation>
        </message>
        <message>
            <source>Dice now: {mean} points</source>
            <translation>Dice jetzt: {mean} Punkte</translation>
        </message>
        <message>
            <source>Dice now: {mean} points (80 %: {low} to {high})</source>
            <translation>Dice jetzt: {mean} Punkte (80 %: {low} bis {high})</translation>
        </message>
        <message>
            <source>Two readers agree to {mean} points (80 %: {low} to {high}), n = {count} cases.</source>
            <translation>Zwei Befunder stimmen zu {mean} Punkten überein (80 %: {low} bis {high}), n = {count} Fälle.</translation>
        </message>
        <message>
            <source>, {change} since the last label</source>
            <translation>, {change} seit der letzten Annotation</translation>
        </message>
        <message>
            <source>, {change} since the last {count} labels</source>
            <translation>, {change} seit den letzten {count} Annotationen</translation>
        </message>
        <message>
            <source>The server has not answered for {time}: these numbers are from before.</source>
            <translation>Der Server antwortet seit {time} nicht: Diese Zahlen stammen von vorher.</translation>
        </message>
        <message>
            <source>These numbers are from before.</source>
            <translation>Diese Zahlen stammen von vorher.</translation>
        </message>
        <message>
            <source>You can go on drawing.</source>
            <translation>Sie können weiterzeichnen.</translation>
        </message>
        <message>
            <source>One label is in doubt and left out: see the forecast below.</source>
            <translation>Eine Annotation ist zweifelhaft und zählt nicht mit: siehe unten bei „Prognose“.</translation>
        </message>
        <message>
            <source>{count} labels are in doubt and left out: see the forecast below.</source>
            <translation>{count} Annotationen sind zweifelhaft und zählen nicht mit: siehe unten bei „Prognose“.</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.label_export</name>
        <message>
            <source>its image has no voxels; its file may have been moved. Load the case anew</source>
            <translation>Sein Bild hat keine Voxel; vielleicht wurde die Datei verschoben. Laden Sie den Fall neu</translation>
        </message>
        <message>
            <source>nothing is left of {structures}: outside the image, or wholly under another segment</source>
            <translation>Von {structures} bleibt nichts übrig: außerhalb des Bildes oder ganz unter einem anderen Segment</translation>
        </message>
        <message>
            <source>Slicer could not turn the segments into a labelmap</source>
            <translation>Slicer konnte aus den Segmenten keine Labelmap machen</translation>
        </message>
        <message>
            <source>the labelmap has {found} voxels, the image {expected}</source>
            <translation>Die Labelmap hat {found} Voxel, das Bild {expected}</translation>
        </message>
        <message>
            <source>unexpected values in the labelmap: {values}</source>
            <translation>Unerwartete Werte in der Labelmap: {values}</translation>
        </message>
        <message>
            <source>cannot write {path}</source>
            <translation>{path} lässt sich nicht schreiben</translation>
        </message>
        <message>
            <source>{path} is not whole; is the disk full?</source>
            <translation>{path} ist nicht vollständig; ist die Festplatte voll?</translation>
        </message>
        <message>
            <source>a picture's label cannot have {n} slices</source>
            <translation>Die Annotation eines flachen Bildes kann nicht {n} Schichten haben</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.plot_section</name>
        <message>
            <source>labelled cases</source>
            <translation>annotierte Fälle</translation>
        </message>
        <message>
            <source>Dice, in points</source>
            <translation>Dice, in Punkten</translation>
        </message>
        <message>
            <source>measured</source>
            <translation>gemessen</translation>
        </message>
        <message>
            <source>measured: 80 % range</source>
            <translation>gemessen: 80-%-Bereich</translation>
        </message>
        <message>
            <source>forecast</source>
            <translation>Prognose</translation>
        </message>
        <message>
            <source>forecast: 80 % range</source>
            <translation>Prognose: 80-%-Bereich</translation>
        </message>
        <message>
            <source>target</source>
            <translation>Ziel</translation>
        </message>
        <message>
            <source>all structures together</source>
            <translation>alle Strukturen zusammen</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.question_rows</name>
        <message>
            <source>choose...</source>
            <translation>wählen...</translation>
        </message>
        <message>
            <source>it is {name}</source>
            <translation>es ist {name}</translation>
        </message>
        <message>
            <source>leave it out</source>
            <translation>weglassen</translation>
        </message>
        <message>
            <source>it is truly not in this image</source>
            <translation>kommt in diesem Bild wirklich nicht vor</translation>
        </message>
        <message>
            <source>that is right</source>
            <translation>so ist es richtig</translation>
        </message>
        <message>
            <source>these are the structures</source>
            <translation>das sind die Strukturen</translation>
        </message>
        <message>
            <source>send it without that result</source>
            <translation>ohne dieses Ergebnis senden</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.reasons</name>
        <message>
            <source>First connect to a server.</source>
            <translation>Verbinden Sie sich zuerst mit einem Server.</translation>
        </message>
        <message>
            <source>First connect to a server and load a case.</source>
            <translation>Verbinden Sie sich zuerst mit einem Server und laden Sie einen Fall.</translation>
        </message>
        <message>
            <source>First load a case: press “Next case”.</source>
            <translation>Laden Sie zuerst einen Fall: mit „Nächster Fall“.</translation>
        </message>
        <message>
            <source>This label has arrived. Change it to send it again.</source>
            <translation>Diese Annotation ist angekommen. Ändern Sie sie, um sie noch einmal zu senden.</translation>
        </message>
        <message>
            <source>First answer the questions, or go back to the segmentation.</source>
            <translation>Beantworten Sie erst die Fragen, oder gehen Sie zurück zur Segmentierung.</translation>
        </message>
        <message>
            <source>Another label is on its way.</source>
            <translation>Eine andere Annotation ist unterwegs.</translation>
        </message>
        <message>
            <source>You have drawn on this case already; it would be overwritten.</source>
            <translation>Sie haben auf diesem Fall schon gezeichnet; das würde überschrieben.</translation>
        </message>
        <message>
            <source>There is no prediction yet: the model has to be trained first.</source>
            <translation>Es gibt noch keinen Vorschlag: Das Modell muss erst trainiert werden.</translation>
        </message>
        <message>
            <source>To look at it again, first submit the case at hand.</source>
            <translation>Um sie noch einmal anzusehen, reichen Sie zuerst den Fall ein, an dem Sie gerade arbeiten.</translation>
        </message>
        <message>
            <source>This server offers nothing to train.</source>
            <translation>Dieser Server bietet nichts zum Trainieren an.</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.server_section</name>
        <message>
            <source>Connected to {name}.</source>
            <translation>Verbunden mit {name}.</translation>
        </message>
        <message>
            <source>Connected to {name}: {labelled} of {total} cases are labelled.</source>
            <translation>Verbunden mit {name}: {labelled} von {total} Fällen sind annotiert.</translation>
        </message>
        <message>
            <source>This address is not encrypted (http): images and labels travel readable on the network.</source>
            <translation>Diese Adresse ist nicht verschlüsselt (http): Bilder und Annotationen gehen lesbar durchs Netz.</translation>
        </message>
        <message>
            <source>This address was taken from the MONAI Label module.</source>
            <translation>Diese Adresse stammt aus dem Modul MONAI Label.</translation>
        </message>
        <message>
            <source>Where the MONAI Label server with the Scaling App runs, for example http://127.0.0.1:8000</source>
            <translation>Wo der MONAI-Label-Server mit der Scaling App läuft, zum Beispiel http://127.0.0.1:8000</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.server_words</name>
        <message>
            <source>random</source>
            <translation>zufällig</translation>
        </message>
        <message>
            <source>by name</source>
            <translation>nach Namen</translation>
        </message>
        <message>
            <source>most unlike first</source>
            <translation>Unähnliche zuerst</translation>
        </message>
        <message>
            <source>Shows the network your cases as they are.</source>
            <translation>Zeigt dem Netz Ihre Fälle, wie sie sind.</translation>
        </message>
        <message>
            <source>Shows your cases turned, scaled, brighter, darker and blurred.</source>
            <translation>Zeigt Ihre Fälle gedreht, vergrößert, heller, dunkler und unscharf.</translation>
        </message>
        <message>
            <source>Bends your cases at random.</source>
            <translation>Verbiegt Ihre Fälle zufällig.</translation>
        </message>
        <message>
            <source>Bends your cases towards each other's shapes.</source>
            <translation>Verbiegt Ihre Fälle zu den Formen der anderen hin.</translation>
        </message>
        <message>
            <source>Bends your cases towards each other's shapes, and carries their labels over to unlabelled images.</source>
            <translation>Verbiegt Ihre Fälle zu den Formen der anderen hin und überträgt ihre Annotationen auf Bilder ohne Annotation.</translation>
        </message>
        <message>
            <source>Bends your cases into new shapes of the same kind.</source>
            <translation>Verbiegt Ihre Fälle zu neuen Formen derselben Art.</translation>
        </message>
        <message>
            <source>Bends your cases into new shapes; with few cases it begins on unlabelled images under carried labels.</source>
            <translation>Verbiegt Ihre Fälle zu neuen Formen; bei wenigen Fällen beginnt es auf Bildern mit übertragenen Annotationen.</translation>
        </message>
        <message>
            <source>Paints new images for given labels, as far as that is shown to help.</source>
            <translation>Malt neue Bilder zu vorhandenen Annotationen, soweit das nachweislich hilft.</translation>
        </message>
        <message>
            <source>Changes shapes and brightness of your cases as the network's own errors ask.</source>
            <translation>Ändert Form und Helligkeit Ihrer Fälle dort, wo das Netz Fehler macht.</translation>
        </message>
        <message>
            <source>Bends your cases into new shapes, and paints new images as far as that is shown to help.</source>
            <translation>Verbiegt Ihre Fälle zu neuen Formen und malt neue Bilder, soweit das nachweislich hilft.</translation>
        </message>
        <message>
            <source>Takes the strategy that won on your own cases, and before there is one, Baseline.</source>
            <translation>Nimmt die Strategie, die auf Ihren eigenen Fällen gewonnen hat, und bis es eine gibt, Baseline.</translation>
        </message>
        <message>
            <source>The measurement is being started.</source>
            <translation>Die Messung wird gestartet.</translation>
        </message>
        <message>
            <source>Second reading: somebody else has drawn this case.</source>
            <translation>Zweitbefund: Diesen Fall hat schon jemand anders gezeichnet.</translation>
        </message>
        <message>
            <source>Please draw it from nothing; it shows how far two readers agree.</source>
            <translation>Bitte zeichnen Sie ihn ohne Vorschlag; das zeigt, wie weit zwei Befunder übereinstimmen.</translation>
        </message>
        <message>
            <source>The shapes of these images have not been compared yet: served at random.</source>
            <translation>Die Formen dieser Bilder sind noch nicht verglichen: zufällig gewählt.</translation>
        </message>
        <message>
            <source>Of the images looked at, the labelled cases explain this one worst.</source>
            <translation>Von den betrachteten Bildern gleicht dieses den annotierten Fällen am wenigsten.</translation>
        </message>
        <message>
            <source>Picked at random, as one in four is, so that the curve stays honest.</source>
            <translation>Zufällig gewählt wie jeder vierte Fall, damit die Kurve ehrlich bleibt.</translation>
        </message>
        <message>
            <source>Random order; about one case in five is to be labelled without a prediction</source>
            <translation>Zufällige Reihenfolge; etwa jeder fünfte Fall ist ohne Vorschlag zu annotieren</translation>
        </message>
        <message>
            <source>The first unlabelled case by name</source>
            <translation>Der erste Fall ohne Annotation, nach Namen</translation>
        </message>
        <message>
            <source>The case that the labelled ones explain worst; one in four at random</source>
            <translation>Der Fall, der den annotierten am wenigsten gleicht; jeder vierte zufällig</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.wording</name>
        <message>
            <source>Nothing answers at this address. Is the server running, and is the address right? In a hospital network, a firewall may be in between.</source>
            <translation>Unter dieser Adresse antwortet nichts. Läuft der Server, und stimmt die Adresse? In einem Krankenhausnetz kann eine Firewall dazwischen sein.</translation>
        </message>
        <message>
            <source>The server is there but did not answer in time. It may be busy; please try again.</source>
            <translation>Der Server ist da, hat aber nicht rechtzeitig geantwortet. Vielleicht ist er beschäftigt; bitte noch einmal versuchen.</translation>
        </message>
        <message>
            <source>The connection broke before the answer was complete. Please try again.</source>
            <translation>Die Verbindung riss ab, bevor die Antwort vollständig war. Bitte noch einmal versuchen.</translation>
        </message>
        <message>
            <source>The server's certificate could not be verified, so nothing was sent. Is this computer's clock right? Ask your administrator for the right address or certificate.</source>
            <translation>Das Zertifikat des Servers ließ sich nicht prüfen, deshalb wurde nichts gesendet. Geht die Uhr dieses Rechners richtig? Fragen Sie Ihre Administration nach der richtigen Adresse oder dem Zertifikat.</translation>
        </message>
        <message>
            <source>The server's certificate has expired, or this computer's clock is wrong; nothing was sent. Please tell the administrator of the server.</source>
            <translation>Das Zertifikat des Servers ist abgelaufen, oder die Uhr dieses Rechners geht falsch; es wurde nichts gesendet. Bitte sagen Sie es der Administration des Servers.</translation>
        </message>
        <message>
            <source>The server points to another address, perhaps of a login page. Nothing was sent there; please enter the address itself, or ask your administrator.</source>
            <translation>Der Server verweist auf eine andere Adresse, vielleicht auf eine Anmeldeseite. Dorthin wurde nichts gesendet; bitte geben Sie die Adresse selbst ein, oder fragen Sie Ihre Administration.</translation>
        </message>
        <message>
            <source>The server wants to know who you are. Please sign in.</source>
            <translation>Der Server möchte wissen, wer Sie sind. Bitte melden Sie sich an.</translation>
        </message>
        <message>
            <source>Your account may not do this. Please ask the administrator of the server.</source>
            <translation>Ihr Konto darf das nicht. Bitte fragen Sie die Administration des Servers.</translation>
        </message>
        <message>
            <source>The server does not know this. It may have been removed meanwhile.</source>
            <translation>Der Server kennt das nicht. Vielleicht wurde es inzwischen entfernt.</translation>
        </message>
        <message>
            <source>The server is busy with the same work already.</source>
            <translation>Der Server ist schon mit derselben Arbeit beschäftigt.</translation>
        </message>
        <message>
            <source>The server did not accept this.</source>
            <translation>Der Server hat das nicht angenommen.</translation>
        </message>
        <message>
            <source>This is more than the server, or what stands in front of it, takes. Please tell its administrator.</source>
            <translation>Das ist mehr, als der Server oder etwas vor ihm annimmt. Bitte sagen Sie es seiner Administration.</translation>
        </message>
        <message>
            <source>The server cannot do this now. Please try again later.</source>
            <translation>Der Server kann das gerade nicht. Bitte versuchen Sie es später noch einmal.</translation>
        </message>
        <message>
            <source>Something between here and the server answers in its place, a proxy perhaps: the server may be down or starting, or the network wants a sign-in. Please try again in a minute, or ask your administrator.</source>
            <translation>Etwas zwischen diesem Rechner und dem Server antwortet an seiner Stelle, vielleicht ein Proxy: Der Server läuft nicht oder startet gerade, oder das Netz verlangt eine Anmeldung. Bitte versuchen Sie es in einer Minute noch einmal, oder fragen Sie Ihre Administration.</translation>
        </message>
        <message>
            <source>The server failed inside. Its log says why; please tell its administrator.</source>
            <translation>Im Server ist ein Fehler aufgetreten. Sein Protokoll sagt, welcher; bitte sagen Sie es seiner Administration.</translation>
        </message>
        <message>
            <source>The server's answer could not be understood: its version may not fit this extension, or a login page has answered in its place.</source>
            <translation>Die Antwort des Servers war nicht zu verstehen: Seine Version passt vielleicht nicht zu dieser Erweiterung, oder eine Anmeldeseite hat an seiner Stelle geantwortet.</translation>
        </message>
        <message>
            <source>This is not a server's address. It looks like http://server:8000.</source>
            <translation>Das ist keine Serveradresse. Sie sieht etwa so aus: http://server:8000.</translation>
        </message>
        <message>
            <source>Something answers at this address, but it is not a MONAI Label server. It may be a login page.</source>
            <translation>Unter dieser Adresse antwortet etwas, aber kein MONAI-Label-Server. Es kann eine Anmeldeseite sein.</translation>
        </message>
        <message>
            <source>This is a MONAI Label server, but its app has no forecast. Start it with the Scaling App.</source>
            <translation>Das ist ein MONAI-Label-Server, aber seine App hat keine Prognose. Starten Sie ihn mit der Scaling App.</translation>
        </message>
        <message>
            <source>The server's app is too old for this extension. Please update the app.</source>
            <translation>Die App des Servers ist zu alt für diese Erweiterung. Bitte aktualisieren Sie die App.</translation>
        </message>
        <message>
            <source>The server's app is newer than this extension. Please update the extension.</source>
            <translation>Die App des Servers ist neuer als diese Erweiterung. Bitte aktualisieren Sie die Erweiterung.</translation>
        </message>
        <message>
            <source>The server says: {sentence}</source>
            <translation>Der Server sagt: {sentence}</translation>
        </message>
        <message>
            <source>Asking {address}...</source>
            <translation>Frage {address}...</translation>
        </message>
        <message>
            <source>Signing in...</source>
            <translation>Anmeldung läuft...</translation>
        </message>
        <message>
            <source>The user name or the password is not right. Please try again.</source>
            <translation>Benutzername oder Passwort stimmt nicht. Bitte versuchen Sie es noch einmal.</translation>
        </message>
        <message>
            <source>The server answers again.</source>
            <translation>Der Server antwortet wieder.</translation>
        </message>
        <message>
            <source>Asking for the next case...</source>
            <translation>Der nächste Fall wird angefragt...</translation>
        </message>
        <message>
            <source>Every case on the server has a label.</source>
            <translation>Jeder Fall auf dem Server ist annotiert.</translation>
        </message>
        <message>
            <source>The server has no images yet.</source>
            <translation>Der Server hat noch keine Bilder.</translation>
        </message>
        <message>
            <source>Loading {case}...</source>
            <translation>{case} wird geladen...</translation>
        </message>
        <message>
            <source>The scene was closed, so the next case was not loaded.</source>
            <translation>Die Szene wurde geschlossen, deshalb wurde der nächste Fall nicht geladen.</translation>
        </message>
        <message>
            <source>Slicer could not load {case}: {detail}</source>
            <translation>Slicer konnte {case} nicht laden: {detail}</translation>
        </message>
        <message>
            <source>Asking for the prediction...</source>
            <translation>Der Vorschlag wird angefragt...</translation>
        </message>
        <message>
            <source>There is no prediction yet: the model has to be trained first.</source>
            <translation>Es gibt noch keinen Vorschlag: Das Modell muss erst trainiert werden.</translation>
        </message>
        <message>
            <source>The prediction could not be loaded: {detail}</source>
            <translation>Der Vorschlag ließ sich nicht laden: {detail}</translation>
        </message>
        <message>
            <source>The prediction came after you had begun to draw, so it was left out.</source>
            <translation>Der Vorschlag kam, nachdem Sie zu zeichnen begonnen hatten, und wurde deshalb weggelassen.</translation>
        </message>
        <message>
            <source>The scene was closed before {case} was submitted. Load the scene again if it was saved, or press “Next case”; the server offers {case} again later.</source>
            <translation>Die Szene wurde geschlossen, bevor {case} eingereicht war. Laden Sie die Szene wieder, wenn sie gespeichert wurde, oder drücken Sie „Nächster Fall“; der Server bietet {case} später wieder an.</translation>
        </message>
        <message>
            <source>Image or segmentation of {case} was deleted before it was submitted. Press “Next case”; the server offers {case} again later.</source>
            <translation>Bild oder Segmentierung von {case} wurde gelöscht, bevor der Fall eingereicht war. Drücken Sie „Nächster Fall“; der Server bietet {case} später wieder an.</translation>
        </message>
        <message>
            <source>{case} was opened from another server, or under another address of this one. It stays on the screen; “Submit label” asks you whether it belongs here.</source>
            <translation>{case} wurde von einem anderen Server geöffnet oder unter einer anderen Adresse dieses Servers. Der Fall bleibt auf dem Bildschirm; beim Einreichen wird gefragt, ob er hierher gehört.</translation>
        </message>
        <message>
            <source>The server no longer keeps {case} for you, and may have handed it to somebody else. Please ask your colleagues before you draw on.</source>
            <translation>Der Server hält {case} nicht mehr für Sie frei und hat den Fall vielleicht jemand anderem gegeben. Bitte sprechen Sie sich ab, bevor Sie weiterzeichnen.</translation>
        </message>
        <message>
            <source>Views that showed several slices now show one each: nobody can draw in several at once.</source>
            <translation>Ansichten mit mehreren Schichten zeigen jetzt je eine: in mehreren zugleich kann niemand zeichnen.</translation>
        </message>
        <message>
            <source>{case} is no longer in the scene.</source>
            <translation>{case} ist nicht mehr in der Szene.</translation>
        </message>
        <message>
            <source>Nothing is drawn on {case} yet.</source>
            <translation>Auf {case} ist noch nichts gezeichnet.</translation>
        </message>
        <message>
            <source>The label of {case} could not be made: {detail}</source>
            <translation>Die Annotation von {case} ließ sich nicht erstellen: {detail}</translation>
        </message>
        <message>
            <source>Sending the label of {case}...</source>
            <translation>Die Annotation von {case} wird gesendet...</translation>
        </message>
        <message>
            <source>The label of {case} has arrived.</source>
            <translation>Die Annotation von {case} ist angekommen.</translation>
        </message>
        <message>
            <source>The label of {case} has arrived. The label checks found nothing.</source>
            <translation>Die Annotation von {case} ist angekommen. Die Prüfungen haben nichts gefunden.</translation>
        </message>
        <message>
            <source>The label of {case} has arrived, but please look at it again:
{lines}</source>
            <translation>Die Annotation von {case} ist angekommen, aber bitte sehen Sie sie noch einmal an:
{lines}</translation>
        </message>
        <message>
            <source>The label of {case} has arrived; the minutes it took did not.
{lines}</source>
            <translation>Die Annotation von {case} ist angekommen; die Minuten dafür nicht.
{lines}</translation>
        </message>
        <message>
            <source>The server did not say whether the label of {case} has arrived, so the minutes it took were not sent. They follow when you submit it once more.</source>
            <translation>Der Server hat nicht gesagt, ob die Annotation von {case} angekommen ist; die Minuten dafür wurden deshalb nicht gesendet. Sie folgen, wenn Sie sie noch einmal einreichen.</translation>
        </message>
        <message>
            <source>The label of {case} has not arrived. It is kept on this computer.
{lines}</source>
            <translation>Die Annotation von {case} ist nicht angekommen. Sie wird auf diesem Rechner aufbewahrt.
{lines}</translation>
        </message>
        <message>
            <source>The kept label of {case} could not be read from this computer, so nothing was sent: {detail}</source>
            <translation>Die aufbewahrte Annotation von {case} konnte auf diesem Rechner nicht gelesen werden, daher wurde nichts gesendet: {detail}</translation>
        </message>
        <message>
            <source>The server no longer has this case.</source>
            <translation>Der Server hat diesen Fall nicht mehr.</translation>
        </message>
        <message>
            <source>Starting...</source>
            <translation>Wird gestartet...</translation>
        </message>
        <message>
            <source>Stopping...</source>
            <translation>Wird angehalten...</translation>
        </message>
        <message>
            <source>A new model is being trained.</source>
            <translation>Ein neues Modell wird trainiert.</translation>
        </message>
        <message>
            <source>The last training went well: its model makes the predictions.</source>
            <translation>Das letzte Training ist gelungen: Von seinem Modell kommen jetzt die Vorschläge.</translation>
        </message>
        <message>
            <source>The last training was stopped and made no new model.</source>
            <translation>Das letzte Training wurde abgebrochen und hat kein neues Modell gemacht.</translation>
        </message>
        <message>
            <source>The learning curve is being measured.</source>
            <translation>Die Lernkurve wird gemessen.</translation>
        </message>
        <message>
            <source>The learning curve has been measured.</source>
            <translation>Die Lernkurve ist gemessen.</translation>
        </message>
        <message>
            <source>The measuring of the learning curve was stopped; what was measured so far counts.</source>
            <translation>Das Messen der Lernkurve wurde abgebrochen; was bisher gemessen wurde, zählt.</translation>
        </message>
        <message>
            <source>A training is running already; only one can run at a time.</source>
            <translation>Es läuft schon ein Training; nur eines kann gleichzeitig laufen.</translation>
        </message>
        <message>
            <source>Your account may not train. Please ask the administrator of the server.</source>
            <translation>Ihr Konto darf nicht trainieren. Bitte fragen Sie die Administration des Servers.</translation>
        </message>
        <message>
            <source>The last training ran out of memory. Use a smaller network, or a larger graphics card.</source>
            <translation>Beim letzten Training reichte der Speicher nicht. Nehmen Sie ein kleineres Netz oder eine größere Grafikkarte.</translation>
        </message>
        <message>
            <source>The last training stopped: the server's disk is full.</source>
            <translation>Das letzte Training brach ab: Die Platte des Servers ist voll.</translation>
        </message>
        <message>
            <source>The last training stopped: there are not enough labels yet.</source>
            <translation>Das letzte Training brach ab: Es gibt noch nicht genug Annotationen.</translation>
        </message>
        <message>
            <source>The last training failed: {lines}</source>
            <translation>Das letzte Training ist gescheitert: {lines}</translation>
        </message>
        <message>
            <source>{name} is empty</source>
            <translation>{name} ist leer</translation>
        </message>
        <message>
            <source>An effect's result is only a preview until you press “Apply” in the Segment Editor</source>
            <translation>Das Ergebnis eines Werkzeugs ist nur eine Vorschau, bis Sie im Segment-Editor „Anwenden“ (Apply) drücken</translation>
        </message>
        <message>
            <source>One voxel lies in two structures. There the later one holds of: {names}</source>
            <translation>Ein Voxel liegt in zwei Strukturen. Dort gilt die spätere von: {names}</translation>
        </message>
        <message>
            <source>{count} voxels lie in two structures. There the later one holds of: {names}</source>
            <translation>{count} Voxel liegen in zwei Strukturen. Dort gilt die spätere von: {names}</translation>
        </message>
        <message>
            <source>The server knows no structures yet. This label names them: {names}</source>
            <translation>Der Server kennt noch keine Strukturen. Diese Annotation benennt sie: {names}</translation>
        </message>
        <message>
            <source>{name} (empty) is none of the structures of this task</source>
            <translation>{name} (leer) ist keine der Strukturen dieser Aufgabe</translation>
        </message>
        <message>
            <source>{name} is none of the structures of this task</source>
            <translation>{name} ist keine der Strukturen dieser Aufgabe</translation>
        </message>
        <message>
            <source>Blind case: please draw it from nothing. The prediction is withheld, because only labels made without seeing it measure fairly how good the model is.</source>
            <translation>Blinder Fall: Bitte zeichnen Sie ihn ohne Vorschlag. Das Modell zeigt hier keinen, denn nur Annotationen, die ohne ihn entstanden sind, messen ehrlich, wie gut es ist.</translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.worth_section</name>
        <message>
            <source>More
cases</source>
            <translation>Weitere
Fälle</translation>
        </message>
        <message>
            <source>Dice,
in points
(80 %)</source>
            <translation>Dice,
in Punkten
(80 %)</translation>
        </message>
        <message>
            <source>Gain,
in points
(80 %)</source>
            <translation>Gewinn,
in Punkten
(80 %)</translation>
        </message>
        <message>
            <source>Your
time</source>
            <translation>Ihre
Zeit</translation>
        </message>
        <message>
            <source>In brackets: the range that holds with 80 % probability</source>
            <translation>In Klammern: der Bereich, in dem der Wert mit 80 % Wahrscheinlichkeit liegt</translation>
        </message>
        <message>
            <source>all together</source>
            <translation>alle zusammen</translation>
        </message>
    </context>
</TS>
