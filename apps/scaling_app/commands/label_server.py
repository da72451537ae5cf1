"""MONAI Label's own command line with MONAI loaded the lean way: `python -m scaling_app.commands.label_server`."""

from scaling_app.web.undisturbed import hasten_start

hasten_start()

from monailabel.main import Main  # noqa: E402 - what is loaded here takes most of the start

from scaling_app.log.veil import hide_secrets_at_start  # noqa: E402

if __name__ == "__main__":
    hide_secrets_at_start()
    Main().run()
