"""Lists, their filters, and the Stream* calls that send the same in pieces."""

import pytest


@pytest.fixture(scope="module")
def labelled(node, images):
    pod = node.run_pod("labelled", labels={"team": "red", "tier": "web"})
    made = [
        pod.run(images.plain, "/bin/sleep", "1000", labels={"n": str(i), "all": "yes"}) for i in range(2)
    ]
    made.append(pod.create(images.plain, "/bin/true", labels={"n": "2", "all": "yes"}))
    yield pod, made
    pod.remove()


def pods(node, **filters):
    unary = {item.id for item in node.cri.ListPodSandbox(filter=filters).items}
    streamed = {i.id for part in node.cri.StreamPodSandboxes(filter=filters) for i in part.pod_sandboxes}
    assert unary == streamed
    return unary


def containers(node, **filters):
    unary = {item.id for item in node.cri.ListContainers(filter=filters).containers}
    streamed = {i.id for part in node.cri.StreamContainers(filter=filters) for i in part.containers}
    assert unary == streamed
    return unary


def test_pod_filters(node, pod, labelled):
    one, _ = labelled
    assert {one.id, pod.id} <= pods(node)
    assert pods(node, id=one.id) == {one.id}
    assert pods(node, id=one.id[:10]) == {one.id}
    assert pods(node, id="f" * 64) == set()
    assert pods(node, label_selector={"team": "red"}) == {one.id}
    assert pods(node, label_selector={"team": "red", "tier": "db"}) == set()
    assert one.id in pods(node, state=dict(state=node.e.SANDBOX_READY))
    assert one.id not in pods(node, state=dict(state=node.e.SANDBOX_NOTREADY))


def test_container_filters(node, sleeper, labelled):
    pod, made = labelled
    ids = [container.id for container in made]
    assert {sleeper.id, *ids} <= containers(node)
    assert containers(node, pod_sandbox_id=pod.id) == set(ids)
    assert containers(node, pod_sandbox_id=pod.id[:10]) == set(ids)
    assert containers(node, id=ids[0]) == {ids[0]}
    assert containers(node, id=ids[1][:10], label_selector={"all": "yes"}) == {ids[1]}
    assert containers(node, label_selector={"n": "1"}) == {ids[1]}
    created = dict(state=node.e.CONTAINER_CREATED)
    assert containers(node, pod_sandbox_id=pod.id, state=created) == {ids[2]}
    assert containers(node, pod_sandbox_id="f" * 64) == set()


def test_items_say_what_the_kubelet_needs(node, labelled):
    pod, made = labelled
    (item,) = node.cri.ListPodSandbox(filter=dict(id=pod.id)).items
    assert item.metadata == pod.config.metadata and item.created_at > 0
    items = node.cri.ListContainers(filter=dict(pod_sandbox_id=pod.id)).containers
    assert {item.pod_sandbox_id for item in items} == {pod.id}
    for item in items:
        assert item.image.image and item.image_ref and item.created_at > 0 and item.metadata.name


def test_images_are_streamed_too(node, images):
    unary = {image.id for image in node.cri.ListImages().images}
    streamed = {image.id for part in node.cri.StreamImages() for image in part.images}
    assert unary == streamed and len(unary) >= 3


def test_many_created_containers_are_listed(node, images):
    with node.pod() as pod:
        made = {pod.create(images.plain, "/bin/true", name=f"many-{i}").id for i in range(20)}
        assert containers(node, pod_sandbox_id=pod.id) == made
