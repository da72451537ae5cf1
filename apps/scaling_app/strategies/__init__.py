"""HOW TO TRAIN ON n LABELS: each strategy turns labelled cases into training samples.

`catalogue` lists them and needs no torch; a strategy's module is imported when the strategy is made.
"""
