"""The parts of the Data Sufficiency module, one job per file, the lower never knowing the higher.

    http_messages, json_reader, model,    plain Python: what is sent, what comes back, what it means
    server_model
    client                                the server's REST interface; no qt, no MRML
    activity, drafts, signal              active minutes, labels not yet sent, callbacks
    label_questions                       what is asked before a label is sent, and the answers
    wording, forecast_words               every sentence that a person reads
    ports                                 what a session needs from outside: transport, timers, editor
    states                                the state of a session, data alone, and what may follow from it
    server_offer, case_at_hand, fetching, automatic, forecast_watch, training, elsewhere,
    submission, cases, connection         what happens when: each acts on the state; no widgets
    reasons                               why a button is grey
    session                               these parts, put together
    transport, timers, settings           the files that touch qt without showing anything
    label_set, segment_review,            MRML: classes and colours, segments against classes,
    label_export, case_nodes,             export and import, the case in the scene,
    curve_nodes                           the curve as tables and a chart
    panel and *_section                   widgets; editor_section has the Segment Editor, plot_section the plot
    stock_module                          following the MONAI Label module, when it is there

Python 3.9 syntax (Slicer 5.8); nothing outside Slicer's own packages.
"""
