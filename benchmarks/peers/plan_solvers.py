"""Other people's solvers on the benchmark instances, as the checker reads them: OR-Tools, PyVRP and VROOM.

Each gets the problem as it can be told to it, in integers (1 unit is 10,000), one thread, and its CPU seconds; the
answer is routes by the file's node numbers, judged afterwards as ours are. A vehicle more costs more than all driving
where the file asks for few vehicles.
"""

from __future__ import annotations

from collections.abc import Callable
from time import process_time
from typing import Any

from noriai_engine.checker.instances import Instance

SCALE = 10_000
VEHICLE = 100_000 * SCALE
LEFT_OUT = 10**9
Routes = list[list[int]]


def _whole(value: float) -> int:
    return round(value * SCALE)


def _legs(instance: Instance) -> list[list[int]]:
    return [[_whole(leg) for leg in row] for row in instance.legs]


def _pickups(instance: Instance) -> list[int]:
    return [node for node, stop in enumerate(instance.stops) if stop.load > 0]


def _vehicles(instance: Instance) -> int:
    return instance.vehicles or len(_pickups(instance))


def or_tools(instance: Instance, seconds: float, seed: int, few: bool) -> Routes:
    """Routing model: parallel cheapest insertion, guided local search; pairs may be left out at a high price."""
    from ortools.constraint_solver import pywrapcp, routing_enums_pb2

    stops, legs = instance.stops, _legs(instance)
    manager = pywrapcp.RoutingIndexManager(len(stops), _vehicles(instance), 0)
    routing = pywrapcp.RoutingModel(manager)
    solver, node = routing.solver(), manager.IndexToNode
    drive = routing.RegisterTransitCallback(lambda a, b: legs[node(a)][node(b)])
    routing.SetArcCostEvaluatorOfAllVehicles(drive)
    served = [_whole(stop.service) for stop in stops]
    passing = routing.RegisterTransitCallback(lambda a, b: served[node(a)] + legs[node(a)][node(b)])
    horizon = _whole(stops[0].latest)
    routing.AddDimension(passing, horizon, horizon, False, "time")
    time = routing.GetDimensionOrDie("time")
    load = routing.RegisterUnaryTransitCallback(lambda a: round(stops[node(a)].load))
    routing.AddDimension(load, 0, round(instance.capacity), True, "load")
    for vehicle in range(_vehicles(instance)):
        if instance.longest_route is not None:
            time.SetSpanUpperBoundForVehicle(_whole(instance.longest_route), vehicle)
        for end in (routing.Start(vehicle), routing.End(vehicle)):
            time.CumulVar(end).SetRange(_whole(stops[0].earliest), horizon)
    if few:
        routing.SetFixedCostOfAllVehicles(VEHICLE)
    for number in range(1, len(stops)):
        index = manager.NodeToIndex(number)
        time.CumulVar(index).SetRange(_whole(stops[number].earliest), _whole(stops[number].latest))
        routing.AddDisjunction([index], LEFT_OUT * (SCALE if few else 1))
    for pickup in _pickups(instance):
        on, off = manager.NodeToIndex(pickup), manager.NodeToIndex(stops[pickup].partner)
        routing.AddPickupAndDelivery(on, off)
        solver.Add(routing.VehicleVar(on) == routing.VehicleVar(off))
        solver.Add(time.CumulVar(on) <= time.CumulVar(off))
        if instance.longest_ride is not None:
            most = _whole(instance.longest_ride) + served[pickup]
            solver.Add(time.CumulVar(off) - time.CumulVar(on) <= most)
    parameters = pywrapcp.DefaultRoutingSearchParameters()
    parameters.first_solution_strategy = routing_enums_pb2.FirstSolutionStrategy.PARALLEL_CHEAPEST_INSERTION
    parameters.local_search_metaheuristic = routing_enums_pb2.LocalSearchMetaheuristic.GUIDED_LOCAL_SEARCH
    parameters.time_limit.FromMilliseconds(round(seconds * 1000))
    found = routing.SolveWithParameters(parameters)
    routes: Routes = []
    for vehicle in range(_vehicles(instance) if found else 0):
        at, route = found.Value(routing.NextVar(routing.Start(vehicle))), []
        while not routing.IsEnd(at):
            route.append(node(at))
            at = found.Value(routing.NextVar(at))
        routes.append(route)
    return [route for route in routes if route]


def pyvrp(instance: Instance, seconds: float, seed: int, few: bool) -> Routes:
    """Iterated local search over shipments; it knows no ride time."""
    from pyvrp import Model

    model, stops = Model(), instance.stops
    places = [model.add_location(number, 0) for number in range(len(stops))]
    depot = model.add_depot(places[0])
    model.add_vehicle_type(
        _vehicles(instance), round(instance.capacity), depot, depot, VEHICLE if few else 0,
        _whole(stops[0].earliest), _whole(stops[0].latest),
        **({} if instance.longest_route is None else {"shift_duration": _whole(instance.longest_route)}),
    )  # fmt: skip
    pickups = _pickups(instance)
    for pickup in pickups:
        off = stops[pickup].partner
        windows = [
            _whole(x) for node in (pickup, off) for x in (stops[node].earliest, stops[node].latest, stops[node].service)
        ]
        model.add_shipment(places[pickup], places[off], *windows, amount=round(stops[pickup].load))
    for a, row in enumerate(_legs(instance)):
        for b, leg in enumerate(row):
            model.add_edge(places[a], places[b], leg, leg)
    cpu_ends = process_time() + seconds
    result = model.solve(_stop(cpu_ends), seed=seed, display=False, collect_stats=False)
    if not result.is_feasible():
        return []
    ends_of = {True: pickups, False: [stops[pickup].partner for pickup in pickups]}
    return [
        [ends_of[visit.is_pickup()][visit.idx] for visit in route.schedule() if visit.is_shipment()]
        for route in result.best.routes()
    ]


def _stop(ends: float) -> Callable[[float], bool]:
    return lambda cost: process_time() >= ends


def vroom(instance: Instance, seconds: float, seed: int, few: bool) -> Routes:
    """Shipments, full exploration; it stops by itself, and knows neither ride time nor route duration."""
    import numpy as np
    import vroom as library

    stops, problem = instance.stops, library.Input()
    problem.set_durations_matrix("car", np.array(_legs(instance), np.uint32))
    window = library.TimeWindow(_whole(stops[0].earliest), _whole(stops[0].latest))
    for vehicle in range(_vehicles(instance)):
        costs = library.VehicleCosts(fixed=VEHICLE if few else 0)
        capacity = [round(instance.capacity)]
        problem.add_vehicle(library.Vehicle(vehicle, 0, 0, capacity=capacity, time_window=window, costs=costs))

    def step(number: int) -> Any:
        stop = stops[number]
        when = library.TimeWindow(_whole(stop.earliest), _whole(stop.latest))
        return library.ShipmentStep(number, number, default_service=_whole(stop.service), time_windows=[when])

    for pickup in _pickups(instance):
        amount = library.Amount([round(stops[pickup].load)])
        problem.add_shipment(step(pickup), step(stops[pickup].partner), amount)
    table = problem.solve(exploration_level=5, nb_threads=1).routes
    routes: dict[int, list[int]] = {}
    for vehicle, kind, place in zip(table["vehicle_id"], table["type"], table["location_index"], strict=True):
        if kind in ("pickup", "delivery"):
            routes.setdefault(int(vehicle), []).append(int(place))
    return list(routes.values())


PEERS: dict[str, Callable[[Instance, float, int, bool], Routes]] = {
    "or-tools": or_tools,
    "pyvrp": pyvrp,
    "vroom": vroom,
}
