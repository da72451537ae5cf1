<?xml version="1.0" encoding="utf-8"?>
<!DOCTYPE TS>
<TS version="2.1" language="en_US" sourcelanguage="en">
    <context>
        <name>DataSufficiency</name>
        <message>
            <source>Data Sufficiency</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Shows while you annotate what each additional case is expected to bring, which training strategy pays, which case is next and when to stop. Needs a MONAI Label server with the Scaling App.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Talks to a server of MONAI Label (Project MONAI). Licensed under the Apache License 2.0.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Server</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Address:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Where the MONAI Label server with the Scaling App runs, for example http://127.0.0.1:8000</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Test connection</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Ask the server who it is, and load its forecast. Nothing is sent but the question.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Your name at this server</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>User name</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Your password at this server; it is kept in memory only</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Password</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sign in</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Send name and password to this server. Neither is stored.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Case</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Order:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>How the server picks the next case</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Next case</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Load the next case from the server</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Send the label of this case first</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Submit them</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Discard them</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>What was drawn on this case is lost</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Go on drawing on this case</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Stay</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Active minutes on this case. They pause when nothing moves for a minute, and are sent with the label.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Fill in the prediction</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Before the label is sent, please say:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Send the label with these answers</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Send the label</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Send nothing yet, and change the segmentation</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Back to the segmentation</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Submit label</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Labels that were not sent yet</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Send the chosen one to the server</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Send again</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Discard...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Delete the chosen one from this computer; asks once more</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Forecast: table and plot</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Structure:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Show the forecast of one structure, or of all together</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Target, points:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The Dice, in points from 0 to 100, at which you would stop</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>none</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Set</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Tell the server this target; it applies to everybody who labels there</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Clear</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Take the target back, for everybody who labels there</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>What the next case is worth</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Labels in doubt</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label to look at again, or to confirm</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Look at it again</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Load this case with its label, to correct and submit it. Submit the case at hand first.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>It is right</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Tell the server that this label is right as it is; it then counts in the forecast</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Measure the learning curve</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server trains test models, and compares the strategies that it was told to; it goes on while you label</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Strategies: what makes each case worth more</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Strategies</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Training</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Train on the server with the labels that it has; go on labelling meanwhile</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Start training</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Stop the training that is running on the server</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Stop</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Progress of the training</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Options</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>What to train:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The model that makes the predictions, or the learning curve that the forecast rests on</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Strategy:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>How more is made of your cases; the list of strategies says what each does and what pays</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Training steps:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>More steps take longer and may help; with “auto” more labels mean more steps. They hold for the model and for the learning curve, which is then measured anew.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Coverage: cases unlike those labelled so far</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Cases unlike those labelled so far</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.case_nodes</name>
        <message>
            <source>Slicer cannot read {file} as an image</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Slicer cannot read the segmentation that the server sent</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.case_section</name>
        <message>
            <source>Send this label to the server</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{minutes} active</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{minutes} active, paused</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>No case is loaded</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Ask the server's model for a first segmentation of this case</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{case} has changes that were not submitted.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Not sent yet, kept on this computer: {count}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label has arrived, only the minutes have not: {cases}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>No longer on the server: {cases}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Connect to {server} to send.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Kept in {folder}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{case} was opened from another server, or under another address of this one. If two servers name two patients alike, its label would be stored with the wrong patient. Does it belong to {server}?</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Delete the unsent label of {case} from this computer? It cannot be brought back.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Delete the minutes of {case} from this computer? They cannot be brought back. The label itself is on the server and stays there.</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.effects_sections</name>
        <message>
            <source>Strategy</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Worth,
in cases
(80 %)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Gain,
in points
(80 %)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>How many cases one case is worth, and the difference in Dice, both against the session's own strategy on the same cases. In brackets: the range that holds with 80 % probability</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>auto</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Case</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Distance</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>How far its shape lies outside the labelled ones, as a multiple of what is usual among them</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{times} times</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.forecast_words</name>
        <message>
            <source>{strategy}, longer training</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{whole}.{tenth}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{mean} ({low} to {high})</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>under 1 %</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>over 99 %</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{percent} %</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{minutes} min</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{hours} h</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{hours} h {minutes} min</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>with {n} cases in all</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{percent} chance of at least one point</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>target {dice}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>beyond {times} times the cases</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>reached</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>+{median} ({low} or more)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>+{median} ({low} to {high})</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{percent} chance that it is reached already</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{percent} chance that no number of cases reaches it</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server has not answered for {time}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>It rests on {used} of {all} labels.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{percent} of this forecast rests on your own cases, the rest on learning curves of other tasks. The gains rest on those even more.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Left out of the forecast until you have looked at them again:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>To be looked at where the server's files are:</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>and {count} more</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>How old the forecast is cannot be told: the server's clock was changed.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Forecast made just now.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Forecast made {time} ago.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>A new forecast is being computed.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The last measurement: {sentence}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The learning curve is being measured: {done} of {total} trainings are done.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The learning curve is being measured.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>test cases: {count}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>80 % range: {low} to {high} points</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>each tested before it was trained on</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>cases held back from training</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>trained on some of the cases, tested on others</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{name}: how many cases it is worth is not known yet.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{name}: not measured yet.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>With {name} your {n} cases work like {mean}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>With {name} your {n} cases work like {mean} ({low} to {high}).</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Compared on one test case.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Compared on {count} test cases.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Surface Dice, in points: {difference}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Measures the learning curve; the model in use stays as it is.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Makes a new model from your label; it then makes the predictions.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Makes a new model from your {count} labels; it then makes the predictions.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Makes a new model from the labels; it then makes the predictions.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Until then you can go on drawing.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Takes about {time}, judging by the last time.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Takes {time} at most.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>How long it takes is not known yet.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the model</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the learning curve</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>A new model is being trained.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>About {time} left.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Not measured: the learning curve compares the strategies that the server was told to compare.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>No strategy is sure to help on your cases so far.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Not known yet.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>No case without a label has been looked at.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Unlabelled cases looked at: {pool}. All resemble cases that have been labelled.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Unlabelled cases looked at: {pool}. Outside what has been labelled so far: {outside}.</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.glance_section</name>
        <message>
            <source>In brackets: the range that holds with 80 % probability. The time is judged by your pace.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The Dice expected of a model trained on all labels so far. In brackets: its 80 % range.</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.glance_words</name>
        <message>
            <source>Connect to a server to see what the next case is worth.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server could not compute a forecast. You can go on labelling.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Every case has a label.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The first forecast is being computed. You can go on labelling.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>There is no advice yet. You can go on labelling.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server says: {sentence}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>For a first forecast, labels are missing: {count}. Images without a label: {left}. Please add images on the server.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label one more case for a first forecast.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label {count} cases for a first forecast.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label {count} more cases for a first forecast.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The learning curve is being measured for a first forecast. You can go on labelling.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>For a first forecast, open “Forecast” below and press “Measure the learning curve”.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label a few cases for a first forecast.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You can stop: for cases of this kind the target of {dice} points is reached.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You can stop: the model is about as right as two readers agree.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You can stop: more cases of this kind are hardly worth your time.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The target seems to be reached, but it is too early to stop.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The model seems to be about as right as two readers agree, but it is too early to stop.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>More cases seem to take longer than they save, but it is too early to stop.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>More cases seem to add little, but it is too early to stop.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label the {count} cases that are left, then look again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label the last case, then look again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label one more case, then look again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please label {count} more cases, then look again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Next case: {worth}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Next 5: {worth}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{gain}, {time} of your time</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{mean} points</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{mean} points (80 %: {low} to {high})</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Dice now: {mean} points</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Dice now: {mean} points (80 %: {low} to {high})</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Two readers agree to {mean} points (80 %: {low} to {high}), n = {count} cases.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>, {change} since the last label</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>, {change} since the last {count} labels</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server has not answered for {time}: these numbers are from before.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>These numbers are from before.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You can go on drawing.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>One label is in doubt and left out: see the forecast below.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{count} labels are in doubt and left out: see the forecast below.</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.label_export</name>
        <message>
            <source>its image has no voxels; its file may have been moved. Load the case anew</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>nothing is left of {structures}: outside the image, or wholly under another segment</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Slicer could not turn the segments into a labelmap</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>the labelmap has {found} voxels, the image {expected}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>unexpected values in the labelmap: {values}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>cannot write {path}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{path} is not whole; is the disk full?</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>a picture's label cannot have {n} slices</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.plot_section</name>
        <message>
            <source>labelled cases</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Dice, in points</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>measured</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>measured: 80 % range</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>forecast</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>forecast: 80 % range</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>target</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>all structures together</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.question_rows</name>
        <message>
            <source>choose...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>it is {name}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>leave it out</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>it is truly not in this image</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>that is right</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>these are the structures</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>send it without that result</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.reasons</name>
        <message>
            <source>First connect to a server.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>First connect to a server and load a case.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>First load a case: press “Next case”.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>This label has arrived. Change it to send it again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>First answer the questions, or go back to the segmentation.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Another label is on its way.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>You have drawn on this case already; it would be overwritten.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>There is no prediction yet: the model has to be trained first.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>To look at it again, first submit the case at hand.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>This server offers nothing to train.</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.server_section</name>
        <message>
            <source>Connected to {name}.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Connected to {name}: {labelled} of {total} cases are labelled.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>This address is not encrypted (http): images and labels travel readable on the network.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>This address was taken from the MONAI Label module.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Where the MONAI Label server with the Scaling App runs, for example http://127.0.0.1:8000</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.server_words</name>
        <message>
            <source>random</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>by name</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>most unlike first</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Shows the network your cases as they are.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Shows your cases turned, scaled, brighter, darker and blurred.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Bends your cases at random.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Bends your cases towards each other's shapes.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Bends your cases towards each other's shapes, and carries their labels over to unlabelled images.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Bends your cases into new shapes of the same kind.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Bends your cases into new shapes; with few cases it begins on unlabelled images under carried labels.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Paints new images for given labels, as far as that is shown to help.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Changes shapes and brightness of your cases as the network's own errors ask.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Bends your cases into new shapes, and paints new images as far as that is shown to help.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Takes the strategy that won on your own cases, and before there is one, Baseline.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The measurement is being started.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Second reading: somebody else has drawn this case.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Please draw it from nothing; it shows how far two readers agree.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The shapes of these images have not been compared yet: served at random.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Of the images looked at, the labelled cases explain this one worst.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Picked at random, as one in four is, so that the curve stays honest.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Random order; about one case in five is to be labelled without a prediction</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The first unlabelled case by name</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The case that the labelled ones explain worst; one in four at random</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.wording</name>
        <message>
            <source>Nothing answers at this address. Is the server running, and is the address right? In a hospital network, a firewall may be in between.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server is there but did not answer in time. It may be busy; please try again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The connection broke before the answer was complete. Please try again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server's certificate could not be verified, so nothing was sent. Is this computer's clock right? Ask your administrator for the right address or certificate.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server's certificate has expired, or this computer's clock is wrong; nothing was sent. Please tell the administrator of the server.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server points to another address, perhaps of a login page. Nothing was sent there; please enter the address itself, or ask your administrator.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server wants to know who you are. Please sign in.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Your account may not do this. Please ask the administrator of the server.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server does not know this. It may have been removed meanwhile.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server is busy with the same work already.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server did not accept this.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>This is more than the server, or what stands in front of it, takes. Please tell its administrator.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server cannot do this now. Please try again later.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Something between here and the server answers in its place, a proxy perhaps: the server may be down or starting, or the network wants a sign-in. Please try again in a minute, or ask your administrator.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server failed inside. Its log says why; please tell its administrator.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server's answer could not be understood: its version may not fit this extension, or a login page has answered in its place.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>This is not a server's address. It looks like http://server:8000.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Something answers at this address, but it is not a MONAI Label server. It may be a login page.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>This is a MONAI Label server, but its app has no forecast. Start it with the Scaling App.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server's app is too old for this extension. Please update the app.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server's app is newer than this extension. Please update the extension.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server says: {sentence}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Asking {address}...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Signing in...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The user name or the password is not right. Please try again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server answers again.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Asking for the next case...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Every case on the server has a label.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server has no images yet.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Loading {case}...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The scene was closed, so the next case was not loaded.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Slicer could not load {case}: {detail}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Asking for the prediction...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>There is no prediction yet: the model has to be trained first.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The prediction could not be loaded: {detail}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The prediction came after you had begun to draw, so it was left out.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The scene was closed before {case} was submitted. Load the scene again if it was saved, or press “Next case”; the server offers {case} again later.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Image or segmentation of {case} was deleted before it was submitted. Press “Next case”; the server offers {case} again later.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{case} was opened from another server, or under another address of this one. It stays on the screen; “Submit label” asks you whether it belongs here.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server no longer keeps {case} for you, and may have handed it to somebody else. Please ask your colleagues before you draw on.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Views that showed several slices now show one each: nobody can draw in several at once.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{case} is no longer in the scene.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Nothing is drawn on {case} yet.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label of {case} could not be made: {detail}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Sending the label of {case}...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label of {case} has arrived.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label of {case} has arrived. The label checks found nothing.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label of {case} has arrived, but please look at it again:
{lines}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label of {case} has arrived; the minutes it took did not.
{lines}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server did not say whether the label of {case} has arrived, so the minutes it took were not sent. They follow when you submit it once more.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The label of {case} has not arrived. It is kept on this computer.
{lines}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The kept label of {case} could not be read from this computer, so nothing was sent: {detail}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server no longer has this case.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Starting...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Stopping...</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>A new model is being trained.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The last training went well: its model makes the predictions.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The last training was stopped and made no new model.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The learning curve is being measured.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The learning curve has been measured.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The measuring of the learning curve was stopped; what was measured so far counts.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>A training is running already; only one can run at a time.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Your account may not train. Please ask the administrator of the server.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The last training ran out of memory. Use a smaller network, or a larger graphics card.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The last training stopped: the server's disk is full.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The last training stopped: there are not enough labels yet.</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The last training failed: {lines}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{name} is empty</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>An effect's result is only a preview until you press “Apply” in the Segment Editor</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>One voxel lies in two structures. There the later one holds of: {names}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{count} voxels lie in two structures. There the later one holds of: {names}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>The server knows no structures yet. This label names them: {names}</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{name} (empty) is none of the structures of this task</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>{name} is none of the structures of this task</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Blind case: please draw it from nothing. The prediction is withheld, because only labels made without seeing it measure fairly how good the model is.</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
    <context>
        <name>DataSufficiencyLib.worth_section</name>
        <message>
            <source>More
cases</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Dice,
in points
(80 %)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Gain,
in points
(80 %)</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>Your
time</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>In brackets: the range that holds with 80 % probability</source>
            <translation type="unfinished"></translation>
        </message>
        <message>
            <source>all together</source>
            <translation type="unfinished"></translation>
        </message>
    </context>
</TS>
