"""noriai's engine: roads, travel times, plans, dispatch, events, KPIs, checker.

Import what you need from the rooms (`noriai_engine.model`, `noriai_engine.regions`, ...); importing this
package alone takes milliseconds and loads no numerical library.
"""

__version__ = "0.1.0"
