"""The parts of the Data Sufficiency module, one job per file.

    http_messages, json_reader, model     plain Python: what is sent, what comes back, what it means
    client                                the server's REST interface; no qt, no MRML
    activity, drafts, signal              active minutes, labels not yet sent, callbacks
    transport, timers, settings           the files that touch qt without showing anything
    label_set, segment_review,            MRML: classes and colours, segments against classes,
    label_export, case_nodes,             export and import, the case in the scene,
    curve_nodes                           tables and plots
    states, session, fetching, automatic, submission, training, forecast_watch
                                          what happens when: the state machine; no widgets
    wording                               every sentence that a person reads
    panel and *_section                   widgets
    stock_module                          following the MONAI Label module, when it is there

Python 3.9 syntax (Slicer 5.8); nothing outside Slicer's own packages.
"""
