"""`python -m examples.vertical_fl`: the app without and with Crafter, in this process."""

from flwr.app import Context, RecordDict
from flwr.clientapp import ClientApp

from examples.vertical_fl import app, protected_app
from simulations.in_process import InProcessGrid, flower_identity


def run(client_app: ClientApp) -> None:
    """The example's ServerApp against two clients."""
    with flower_identity():
        context = Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config={})
        app.server_app(InProcessGrid(client_app, clients=2), context)


if __name__ == "__main__":
    print("without Crafter: ", end="", flush=True)
    run(app.client_app)
    print("with Crafter:    ", end="", flush=True)
    run(protected_app.client_app)
