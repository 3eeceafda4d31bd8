"""Home Assistant's own word on edgetuned's discovery documents; for tests/home_assistant.rs.

    validate.py schemas DOCUMENT...   checks each file by the schemas of Home Assistant's MQTT integration
    validate.py live BROKER HTTP      runs Home Assistant at the broker on that port of 127.0.0.1, its own page on the other

`schemas` prints a line for each fault and ends with 1 if there is one. `live` prints {"ready": VERSION}, reads one JSON object a
line and answers each with one, until its input ends:

    {"wait": UNIQUE_ID, "is": {"state": …, ATTRIBUTE: …}}   until the entity has these; the answer is what it has
    {"gone": UNIQUE_ID}                                     until nobody knows it; the answer is {"gone": BOOL}
    {"select": UNIQUE_ID, "option": …}                      chooses, as a person does; {"ok": true} or {"refused": WHY}
    {"press": UNIQUE_ID}                                    the same with a button
    {"faults": true}                                        warnings and errors that were logged since the last time
"""

import asyncio
import importlib
import json
import logging
import sys
import tempfile
from pathlib import Path

import voluptuous
from homeassistant import auth, bootstrap, config_entries, core, loader
from homeassistant.const import __version__
from homeassistant.helpers import entity_registry
from homeassistant.setup import async_setup_component

# Longer than anything here takes.
PATIENCE_S = 60
# What speaks about documents, messages and entities; the rest speaks about this bare installation.
PARTS = ["mqtt", "sensor", "binary_sensor", "button", "select", "update", "event"]
HEARD = [f"homeassistant.components.{part}" for part in PARTS] + [
    f"homeassistant.{part}" for part in ("helpers.template", "helpers.entity_platform", "util.logging")
]
# A busy machine is no fault.
SLOW = ("is taking over", "No ACK from MQTT", "Updating state for")


def component_faults(discovery, document):
    """Each component on its own, with what it inherits of the document."""
    for key, component in document["components"].items():
        platform = component.pop("platform")
        if not component:
            continue
        component |= {"device": document["device"], "origin": document["origin"]}
        discovery._merge_common_device_options(component, document)
        schema = importlib.import_module(f"homeassistant.components.mqtt.{platform}").DISCOVERY_SCHEMA
        try:
            known = schema(component)
        except voluptuous.Invalid as fault:
            yield f"{key}: {fault}"
            continue
        # The schemas drop what they do not know without a word.
        for field in component.keys() - known.keys():
            yield f"{key}: a {platform} has no '{field}'"


async def schema_faults(path, folder):
    from homeassistant.components.mqtt import discovery
    from homeassistant.components.mqtt.schemas import DEVICE_DISCOVERY_SCHEMA

    # Templates are checked with the functions that an instance adds.
    core.HomeAssistant(folder)
    document = json.loads(Path(path).read_text())
    discovery._replace_all_abbreviations(document)
    try:
        DEVICE_DISCOVERY_SCHEMA(document)
    except voluptuous.Invalid as fault:
        return [str(fault)]
    return list(component_faults(discovery, document))


def schemas(paths):
    faults = []
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            faults += [f"{path}: {fault}" for fault in asyncio.run(schema_faults(path, folder))]
    print("\n".join(faults))
    return 1 if faults else 0


class Complaints(logging.Handler):
    def __init__(self):
        super().__init__(logging.WARNING)
        self.said = []

    def emit(self, record):
        message = record.getMessage()
        if record.name.startswith(tuple(HEARD)) and not any(word in message for word in SLOW):
            self.said.append(f"{record.levelname} {record.name}: {message}")


def configure(folder, broker):
    """The settings that a person makes once: where the broker is."""
    entry = {
        "entry_id": "1", "version": 1, "minor_version": 1, "domain": "mqtt", "title": "broker", "source": "user",
        "data": {"broker": "127.0.0.1", "port": broker}, "options": {}, "unique_id": None, "disabled_by": None,
        "pref_disable_new_entities": False, "pref_disable_polling": False,
    }  # fmt: skip
    store = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [entry]}}
    (folder / ".storage").mkdir()
    (folder / ".storage/core.config_entries").write_text(json.dumps(store))
    (folder / "configuration.yaml").write_text("")


class Instance:
    """A running Home Assistant."""

    def __init__(self, hass, complaints):
        self.hass = hass
        self.complaints = complaints

    def entity_id(self, unique_id):
        entries = entity_registry.async_get(self.hass).entities.values()
        return next((entry.entity_id for entry in entries if entry.unique_id == unique_id), None)

    def seen(self, unique_id):
        entity_id = self.entity_id(unique_id)
        state = entity_id and self.hass.states.get(entity_id)
        return {"state": state.state, **state.attributes} if state else {}

    async def until(self, holds):
        """Looks after every event; whether it came to hold."""
        changed = asyncio.Event()
        stop = self.hass.bus.async_listen(core.MATCH_ALL, core.callback(lambda _: changed.set()))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not holds():
                    changed.clear()
                    await changed.wait()
            return True
        except TimeoutError:
            return False
        finally:
            stop()

    async def call(self, domain, service, unique_id, **data):
        target = {"entity_id": self.entity_id(unique_id)}
        try:
            await self.hass.services.async_call(domain, service, data, blocking=True, target=target)
        except Exception as why:  # whatever a person would be shown
            return {"refused": str(why)}
        return {"ok": True}

    async def answer(self, asked):
        match asked:
            case {"wait": unique_id, "is": expected}:
                await self.until(lambda: expected.items() <= self.seen(unique_id).items())
                return self.seen(unique_id)
            case {"gone": unique_id}:
                return {"gone": await self.until(lambda: self.entity_id(unique_id) is None)}
            case {"select": unique_id, "option": option}:
                return await self.call("select", "select_option", unique_id, option=option)
            case {"press": unique_id}:
                return await self.call("button", "press", unique_id)
            case {"faults": True}:
                await self.hass.async_block_till_done()
                said, self.complaints.said = self.complaints.said, []
                return {"faults": said}
        return {"unknown": asked}


def say(message):
    print(json.dumps(message, default=str), flush=True)


async def live(folder, broker, http):
    configure(folder, broker)
    complaints = Complaints()
    logging.getLogger().addHandler(complaints)
    hass = core.HomeAssistant(str(folder))
    loader.async_setup(hass)
    # What it needs is there; nothing is to be installed while it runs.
    hass.config.skip_pip = True
    settings = {"http": {"server_host": ["127.0.0.1"], "server_port": http}}
    hass.config_entries = config_entries.ConfigEntries(hass, settings)
    await loader.async_get_custom_components(hass)
    await bootstrap.async_load_base_functionality(hass)
    hass.auth = await auth.auth_manager_from_config(hass, [], [])
    for domain in ["homeassistant", "http", "mqtt"]:
        if not await async_setup_component(hass, domain, settings):
            sys.exit(f"{domain} is not set up: {complaints.said}")
    await hass.async_start()
    instance = Instance(hass, complaints)
    say({"ready": __version__})
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            say(await instance.answer(json.loads(line)))
    finally:
        await hass.async_stop(force=True)


def main():
    match sys.argv[1:]:
        case ["schemas", *paths] if paths:
            return schemas(paths)
        case ["live", broker, http]:
            with tempfile.TemporaryDirectory() as folder:
                asyncio.run(live(Path(folder), int(broker), int(http)))
            return 0
    print(__doc__, file=sys.stderr)
    return 64


if __name__ == "__main__":
    sys.exit(main())
