"""An app in the shape of Flower's vertical-fl example: it knows nothing of Crafter."""

from functools import lru_cache

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from sklearn.metrics import roc_auc_score
from torch import Tensor, nn

from fl_crafter.assets import load_encoder, load_generator

ROWS, HELD_OUT, ATTRIBUTE = 200, 80, 20  # of CelebA's attributes, counted from 0: Male


@lru_cache(maxsize=1)
def all_rows() -> tuple[Tensor, Tensor]:
    """Faces of nobody, `[rows, 3, 64, 64]`, and a label that both parties' server knows."""
    random = torch.Generator().manual_seed(7)
    model = load_encoder()
    image = load_generator().sample(ROWS, random=random)
    with torch.no_grad():
        score = model.logits(image)[:, ATTRIBUTE]
    return image, (score > score.median()).float()


def own_part(client: int) -> Tensor:
    """What one client holds of every row: the upper or the lower half of the face."""
    image, _ = all_rows()
    part = torch.full_like(image, 0.5)
    half = slice(0, 32) if client % 2 == 0 else slice(32, 64)
    part[:, :, half] = image[:, :, half]
    return part


def embed(message: Message, context: Context) -> Message:
    """ClientApp: answer with the embedding of one's own part of every row."""
    part = own_part(int(context.node_config["partition-id"]))
    with torch.no_grad():
        embedding = load_encoder().encoder(part)
    arrays = ArrayRecord({"embedding": Array(embedding.numpy())})
    metrics = MetricRecord({"num-examples": len(part)})
    return Message(RecordDict({"embeddings": arrays, "metrics": metrics}), reply_to=message)


client_app = ClientApp()
client_app.query("embed")(embed)
server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """ServerApp: ask for embeddings, put them side by side, train a head on the first rows."""
    nodes = sorted(grid.get_node_ids())
    requests = [Message(RecordDict(), node, "query.embed", group_id="1") for node in nodes]
    replies = list(grid.send_and_receive(messages=requests, timeout=120))
    errors = [reply.error.reason for reply in replies if reply.has_error()]
    if errors:
        raise RuntimeError(f"a client failed: {errors[0]}")
    replies.sort(key=lambda reply: reply.metadata.src_node_id)
    parts = [reply.content.array_records["embeddings"]["embedding"].numpy() for reply in replies]
    feature = torch.from_numpy(np.concatenate(parts, axis=1)).mean((2, 3))
    _, label = all_rows()
    print(f"AUC {train_head(feature, label):.3f} on {HELD_OUT} held-out rows", flush=True)


def train_head(feature: Tensor, label: Tensor) -> float:
    """AUC on the last rows of a head that was trained on the others."""
    torch.manual_seed(0)
    feature = (feature - feature.mean(0)) / feature.std(0).clamp(min=1e-6)
    head = nn.Linear(feature.shape[1], 1)
    optimizer = torch.optim.Adam(head.parameters(), lr=0.01, weight_decay=0.01)
    train = slice(0, ROWS - HELD_OUT)
    for _ in range(200):
        logits = head(feature[train]).flatten()
        loss = nn.functional.binary_cross_entropy_with_logits(logits, label[train])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        score = head(feature[ROWS - HELD_OUT :]).flatten()
    return float(roc_auc_score(label[ROWS - HELD_OUT :], score))
