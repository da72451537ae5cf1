"""Speaks to a MONAI Label server with the Scaling App. No torch, no Qt, no Slicer, no server code.

    messages, json_reader     what is sent and what comes back; `Failure`, with a sentence for each kind
    payload, answers          the contract, checked and typed
    calls                     every request, over any transport, answered by callbacks
    drafts                    labels that have not reached the server yet
    blocking                  a transport of `requests`, and `Server`: the same calls, one after the other

The panel in Slicer uses the first four over Qt. Scripts and notebooks use `Server`:

    from scaling_app_client.blocking import Server
"""
