"""MONAI Label's own command line with MONAI loaded the lean way: `python -m scaling_app.commands.label_server`."""

from monailabel.main import Main

if __name__ == "__main__":
    Main().run()
