"""The parts of the Data Sufficiency module, one job per file, the lower never knowing the higher.

    scaling_app_client                    beside this library: the server's REST interface, labels not yet sent
    activity, signal                      active minutes, callbacks
    label_questions                       what is asked before a label is sent, and the answers
    wording, forecast_words               every sentence that a person reads
    ports                                 what a session needs from outside: transport, timers, editor
    states                                the state of a session, data alone, and what may follow from it
    server_offer, case_at_hand, fetching, prediction, forecast_watch, training, elsewhere,
    submission, cases, connection         what happens when: each acts on the state; no widgets
    reasons                               why a button is grey
    session                               these parts, put together
    transport, timers, settings           the files that touch qt without showing anything
    label_set, segment_review,            MRML: structures and colours, segments against structures,
    label_export, case_nodes,             export and import, the case in the scene,
    curve_nodes                           the curve as tables and a chart
    panel and *_section                   widgets; editor_section has the Segment Editor, plot_section the plot
    stock_module                          following the MONAI Label module, when it is there

Python 3.9 syntax (Slicer 5.8); nothing outside Slicer's own packages.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

if (
    find_spec("scaling_app_client") is None
):  # the module runs from the repository: nothing was packaged beside it
    sys.path.append(str(Path(__file__).resolve().parents[3] / "client"))
