"""WHAT A STUDY OF ONE'S OWN NEEDS: replays of growing training sets, previews of what a strategy paints."""
