"""Built-in networks: functions that return an `Example`, which is a network and how to run it."""

from eventsim.networks.brunel import brunel
from eventsim.networks.example import Example
from eventsim.networks.fly import fly
from eventsim.networks.microcircuit import microcircuit
from eventsim.networks.vogels_abbott import vogels_abbott

BUILT_IN = {"brunel": brunel, "vogels-abbott": vogels_abbott, "microcircuit": microcircuit, "fly": fly}

__all__ = ["BUILT_IN", "Example", "brunel", "fly", "microcircuit", "vogels_abbott"]
