"""YAML that knows where each value was written, and frozen dataclasses built from it, checked key by key."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Collection, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from typing import Any, Literal

import yaml

from suder_bench import small_yaml
from suder_bench.errors import UserError, unknown


class _Loader(yaml.SafeLoader):
    """YAML 1.2's truth values: `off` and `no`, which settings take as words, stay words."""

    yaml_implicit_resolvers: typing.ClassVar = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("(true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


@dataclass
class Tree:
    """A YAML value with the place where it was written; those of a mapping are trees of their own, and so are a list's."""

    place: str
    value: Any = None
    items: list[Tree] | None = None
    children: dict[str, Tree] = field(default_factory=dict)
    is_mapping: bool = False
    is_dotted: bool = False
    """A mapping that stands for the way of a dotted key, and not for one that somebody wrote."""

    @classmethod
    def of_node(cls, node: yaml.Node, name: str) -> Tree:
        place = f"{name}, line {node.start_mark.line + 1}"
        if not isinstance(node, yaml.MappingNode):
            items = [cls.of_node(one, name) for one in node.value] if isinstance(node, yaml.SequenceNode) else None
            return cls(place, _Loader("").construct_object(node, deep=True), items)
        children: dict[str, Tree] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise UserError(f"{name}, line {key.start_mark.line + 1}: a key is a word, not a list or a mapping")
            if key.value in children:
                raise UserError(f"{name}, line {key.start_mark.line + 1}: the key '{key.value}' comes twice; keep one")
            children[key.value] = cls.of_node(value, name)
            children[key.value].place = f"{name}, line {key.start_mark.line + 1}"
        return cls(place, children=children, is_mapping=True)

    @classmethod
    def of_sets(cls, sets: Sequence[str], whole: Collection[str] = ()) -> Tree:
        root = cls("--set", is_mapping=True, is_dotted=True)
        for pair in sets:
            key, equals, text = pair.partition("=")
            if not (key and equals):
                raise UserError(f"--set '{pair}' is not KEY=VALUE; for example --set trainer.learning_rate=3e-6")
            tree = parse(text, f"--set {pair}")
            tree.place = f"--set {pair}"
            for name in reversed(key.split(".")):
                tree = cls(f"--set {pair}", children={name: tree}, is_mapping=True, is_dotted=True)
            root.put_over(tree, whole)
        return root

    def put_over(self, other: Tree, whole: Collection[str] = (), key: str = "") -> None:
        """Take what `other` says. A mapping is added to key by key; one under a dotted key in `whole` replaces what stood there,
        unless a longer key of --set goes into it."""
        self.place = other.place
        if key in whole and other.is_dotted and isinstance(self.value, str):  # `clip` is short for `{clip: 1}`
            self.children, self.is_mapping = {self.value: Tree(self.place, 1.0)}, True
        if not (self.is_mapping and other.is_mapping) or (key in whole and not other.is_dotted):
            self.value, self.items, self.children = other.value, other.items, other.children
            self.is_mapping, self.is_dotted = other.is_mapping, other.is_dotted
            return
        for name, tree in other.children.items():
            if name in self.children:
                self.children[name].put_over(tree, whole, f"{key}.{name}" if key else name)
            else:
                self.children[name] = tree

    def plain(self) -> Any:
        """The value as YAML means it."""
        return {name: child.plain() for name, child in self.children.items()} if self.is_mapping else self.value


def parse(text: str, name: str) -> Tree:
    """The tree of a text; `name` is what its mistakes are told of. Raises `UserError` for what is not YAML."""
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is None:
            return Tree(name, None)
        small_yaml.check(node)
        return Tree.of_node(node, name)
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # the latter two from dates that are none, and aliases
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise UserError(f"{name}{line}: not YAML ({reason})") from None


def build(kind: Any, tree: Tree, key: str) -> Any:
    """A value of the annotated type `kind` from a tree. Raises `UserError` naming place and key."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if not tree.is_mapping and tree.value is None and type(None) in arguments:
            return None
        return build(next(part for part in arguments if part is not type(None)), tree, key)
    if is_dataclass(kind):
        return _build_group(kind, tree, key)
    if origin is tuple:
        return _build_list(arguments[0], tree, key)
    if typing.get_origin(kind) in (Mapping, dict, typing.get_origin(Mapping[str, Any])):
        return _build_mapping(arguments[1], tree, key)
    if kind is Any:
        return tree.plain()
    if tree.is_mapping:
        raise UserError(f"{tree.place}: '{key}' takes one value, not a mapping")
    if origin is Literal:
        if tree.value not in arguments:
            raise UserError(f"{tree.place}: {unknown(key, str(tree.value), map(str, arguments))}")
        return tree.value
    return _plain_value(kind, tree, key)


def _build_group(kind: Any, tree: Tree, key: str) -> Any:
    prefix = f"{key}." if key else ""
    if not tree.is_mapping:
        raise UserError(f"{tree.place}: '{key}' is a group of settings, not {tree.value!r}")
    hints = typing.get_type_hints(kind)
    known = [one.name for one in fields(kind)]
    for name, child in tree.children.items():
        if name not in known:
            raise UserError(f"{child.place}: {unknown('key', prefix + name, [prefix + one for one in known])}")
    lacking = [one.name for one in fields(kind) if one.default is MISSING and one.default_factory is MISSING]
    for name in lacking:
        if name not in tree.children:
            raise UserError(f"{tree.place}: '{key}' lacks the key '{name}'")
    return kind(**{name: build(hints[name], child, prefix + name) for name, child in tree.children.items()})


def _build_list(kind: Any, tree: Tree, key: str) -> tuple[Any, ...]:
    """One value is short for a list of it. Raises `UserError` for an empty list: nothing here can be done without."""
    trees = [tree] if tree.items is None else tree.items
    if not trees or (tree.value is None and not tree.is_mapping):
        raise UserError(f"{tree.place}: '{key}' is empty; give one value or a list")
    if is_dataclass(kind):  # `images: world` is short for `images: [{source: world}]`
        first = fields(kind)[0].name
        trees = [one if one.is_mapping else Tree(one.place, children={first: one}, is_mapping=True) for one in trees]
    return tuple(build(kind, one, key) for one in trees)


def _build_mapping(kind: Any, tree: Tree, key: str) -> dict[str, Any]:
    """`reward.gen: clip` is short for `{clip: 1}`, and replaces what stood there."""
    if not tree.is_mapping and isinstance(tree.value, str) and kind is float:
        return {tree.value: 1.0}
    if not tree.is_mapping:
        raise UserError(f"{tree.place}: '{key}' is a mapping of names to values, not {tree.value!r}")
    return {name: build(kind, child, f"{key}.{name}") for name, child in tree.children.items()}


def _plain_value(kind: type, tree: Tree, key: str) -> Any:
    """A bool, int, float or str. YAML reads 3e-6 as a text, so that texts of numbers are numbers here."""
    value = tree.value
    if kind is float and not isinstance(value, bool):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    elif isinstance(value, kind) and not (kind is int and isinstance(value, bool)):
        return value
    names = {float: "a number", int: "a whole number", str: "a text", bool: "true or false"}
    raise UserError(f"{tree.place}: '{key}' must be {names[kind]}, not {value!r}")
