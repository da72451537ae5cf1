"""An outer step keeps its roles apart, moves what it should and nothing else, and goes downhill."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch

from scaling_app.strategies.generative import coupling as coupling_module
from scaling_app.strategies.generative.hypergradient import FrozenSegmenter, Pairs, training_gradient
from scaling_app.strategies.making import make_strategy

from .trainings import (
    batch_of,
    context,
    dice_ce,
    disc_case,
    new_network,
    prepared,
    run,
)


@pytest.mark.usefixtures("coarse_registrations")
def test_no_label_that_the_left_out_patient_has_shaped_is_trained_on_in_its_step(cases) -> None:
    strategy = make_strategy("genda+genseg")
    pool = [dataclasses.replace(disc_case(10), label=None)]
    strategy.prepare(cases, dataclasses.replace(context(), pool=pool, options={"carry_labels": "always"}))
    (carried,) = strategy.added_cases()
    patient, others = strategy.coupling.rotation.next(())
    own = next(case for case in cases if case.patient == patient)
    other = next(case for case in cases if case.patient != patient)
    kept = strategy.coupling.restricted(batch_of([own, carried, other], 0), others)
    assert kept.case_ids[0] == other.case_id
    assert set(kept.case_ids) <= set(others)
    assert len(kept.case_ids) == len(kept.image) == len(kept.label) == 2
    fresh = strategy.coupling.restricted(batch_of([own, carried], 0), others)
    assert set(fresh.case_ids) <= set(others) and len(fresh.case_ids) == 2


@pytest.mark.usefixtures("coarse_registrations")
def test_no_mask_of_an_outer_step_is_moved_by_what_was_learned_from_the_left_out_patient(cases) -> None:
    strategy, asked = make_strategy("genda+genseg"), []
    strategy.prepare(cases, context())
    learned = strategy.real.deformation
    masks = strategy.coupling.masks
    masks._learned_deformation = lambda *a: asked.append(1) or learned(*a)
    ids = [case.case_id for case in cases]
    strategy.coupling.synthesise(8, ids, strategy.appearance, graph=True)
    assert not asked
    strategy.coupling.synthesise(8, ids, strategy.appearance)
    assert asked


def test_the_architecture_optimiser_holds_exactly_the_architecture_weights(cases) -> None:
    trainer = prepared(cases).coupling.trainer
    held = [p for group in trainer.architecture_optimizer.param_groups for p in group["params"]]
    assert [id(p) for p in held] == [id(trainer.generator.architecture)]
    others = [p for group in trainer.weight_optimizer.param_groups for p in group["params"]]
    assert id(trainer.generator.architecture) not in {id(p) for p in others}


def test_an_outer_step_changes_the_architecture_and_no_other_weights(cases) -> None:
    strategy = prepared(cases, feedback="false")
    coupling, network = strategy.coupling, new_network()
    before = copy.deepcopy((network.state_dict(), coupling.trainer.generator.state_dict()))
    discriminator = copy.deepcopy(coupling.trainer.discriminator.state_dict())
    patient, others = coupling.rotation.next(())
    batch = coupling.restricted(batch_of(cases, 0), others)
    synthetic = coupling.synthesise(2, others, strategy.appearance, graph=True)
    coupling.outer_step(network, dice_ce, batch, synthetic, patient)
    generator = coupling.trainer.generator.state_dict()
    changed = {name for name, tensor in generator.items() if not torch.equal(tensor, before[1][name])}
    assert changed == {"architecture"}
    assert all(torch.equal(t, before[0][name]) for name, t in network.state_dict().items())
    after = coupling.trainer.discriminator.state_dict()
    assert all(torch.equal(t, discriminator[name]) for name, t in after.items())


@pytest.mark.parametrize("options", [{}, {"network": "false", "fields": "true"}], ids=["painted", "fields"])
def test_an_outer_step_goes_down_the_validation_loss_of_its_own_pairs(cases, options, monkeypatch) -> None:
    """The whole way of a training: drawn patches, compositing, weights, optimiser; against the loss itself."""
    strategy = prepared(cases, step_size="0.1", masks="false", **options)
    coupling, trainer, network = strategy.coupling, strategy.coupling.trainer, new_network()
    outer = trainer.fields.log_strength if options else trainer.generator.architecture
    optimizer = "fields_optimizer" if options else "architecture_optimizer"
    setattr(trainer, optimizer, torch.optim.SGD([outer], lr=1.0))
    patient, others = coupling.rotation.next(())
    draw, noise_like, drawn, noises = coupling.source.draw, trainer.noise_like, [], []
    monkeypatch.setattr(coupling.source, "draw", lambda *a, **k: drawn.append(draw(*a, **k)) or drawn[-1])
    monkeypatch.setattr(trainer, "noise_like", lambda *a: noises.append(noise_like(*a)) or noises[-1])
    monkeypatch.setattr(coupling, "_sometimes_elsewhere", lambda image: image)

    synthetic = coupling.synthesise(2, others, lambda image, _: image, graph=True)
    batch = coupling.restricted(batch_of(cases, 0), others)
    seen = coupling.seen_through_fields(batch, graph=True)
    before, made_from = outer.detach().clone(), drawn.pop()
    coupling.outer_step(network, dice_ce, seen, synthetic, patient)
    moved, held_out = outer.detach() - before, drawn[0]

    def validation_loss(share: float) -> float:
        with torch.no_grad():
            outer.copy_(before + share * moved)
            generated = trainer.generate(Pairs(made_from.image, made_from.label), noises[0])
            real = trainer.seen_through(batch.image, noises[1]) if options else batch.image
        frozen = FrozenSegmenter(copy.deepcopy(network).double())
        training = (Pairs(real.double(), batch.label), Pairs(generated.double(), made_from.label))
        step = training_gradient(frozen, dice_ce, *training, torch.full((2,), 0.5).double())
        with torch.no_grad():
            held = Pairs(held_out.image.double(), held_out.label)
            return float(frozen.loss(frozen.moved(step, -0.1), dice_ce, held))

    promised = float(moved.norm() ** 2)  # plain descent at rate 1
    h = 1e-2 / float(moved.norm())
    slope = (validation_loss(h) - validation_loss(-h)) / (2 * h)
    assert promised > 0
    assert slope == pytest.approx(-promised, rel=0.05)


def test_without_a_graph_to_the_generator_the_architecture_gets_exactly_nothing(cases) -> None:
    strategy = prepared(cases)
    coupling, architecture = strategy.coupling, strategy.coupling.trainer.generator.architecture
    patient, others = coupling.rotation.next(())
    detached = coupling.synthesise(2, others, strategy.appearance, graph=False)
    seen = []
    coupling.trainer.architecture_optimizer.step = lambda: seen.append(architecture.grad.clone())
    coupling.outer_step(new_network(), dice_ce, batch_of(cases, 0), detached, patient)
    assert torch.equal(seen[0], torch.zeros_like(architecture))


@pytest.mark.parametrize("patients", [2, 4])
def test_the_validation_case_of_a_step_is_in_neither_of_its_training_sets(patients, monkeypatch) -> None:
    cases = [disc_case(i, patient=f"patient{i % patients}") for i in range(4)]
    patient_of = {c.case_id: c.patient for c in cases}
    strategy = prepared(cases, interval="2")
    seen = []
    original = coupling_module.Coupling.outer_step

    def watched(self, network, loss, real, synthetic, patient):
        drawn = []
        draw = self.source.draw
        self.source.draw = lambda *a, **k: drawn.append(k["among"]) or draw(*a, **k)
        found = original(self, network, loss, real, synthetic, patient)
        self.source.draw = draw
        training = {patient_of[c] for c in (*real.case_ids, *synthetic.patches.case_ids)}
        seen.append((patient, training, {patient_of[c] for c in drawn[0]}))
        return found

    monkeypatch.setattr(coupling_module.Coupling, "outer_step", watched)
    run(strategy, new_network(), cases, range(28))
    assert len(seen) >= 8
    for patient, training, validation in seen:
        assert validation == {patient}
        assert training and patient not in training
    assert len({patient for patient, _, _ in seen}) == patients  # every patient has its turn
