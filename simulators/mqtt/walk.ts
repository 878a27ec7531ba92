/** A walk along a route: where a mobile alarm is after so many metres, and when it leaves and enters the ground around its home. */
import type { SeededRandom } from '../random.ts';

/** Degrees WGS 84. */
export interface Place {
  readonly lat: number;
  readonly lon: number;
}

/** From Byparken in Stavanger round Breiavatnet and out along the quay. */
export const ROUTE_STAVANGER: readonly Place[] = [
  { lat: 58.9689, lon: 5.7339 },
  { lat: 58.9681, lon: 5.7329 },
  { lat: 58.9669, lon: 5.7336 },
  { lat: 58.9676, lon: 5.7361 },
  { lat: 58.9699, lon: 5.7357 },
  { lat: 58.9713, lon: 5.7329 },
  { lat: 58.9733, lon: 5.7294 },
  { lat: 58.9752, lon: 5.7263 },
];

const METRES_PER_DEGREE = 111_320;

/** Metres between two places a few kilometres apart at most (flat earth). */
export function metresBetween(a: Place, b: Place): number {
  const east = (b.lon - a.lon) * Math.cos((((a.lat + b.lat) / 2) * Math.PI) / 180);
  return Math.hypot(b.lat - a.lat, east) * METRES_PER_DEGREE;
}

/** The place `metres` along the route; its end when the route is shorter. */
export function placeAlong(route: readonly Place[], metres: number): Place {
  let left = Math.max(0, metres);
  for (let i = 1; i < route.length; i++) {
    const from = route[i - 1] as Place;
    const to = route[i] as Place;
    const leg = metresBetween(from, to);
    if (left <= leg) {
      const share = leg === 0 ? 0 : left / leg;
      return { lat: from.lat + (to.lat - from.lat) * share, lon: from.lon + (to.lon - from.lon) * share };
    }
    left -= leg;
  }
  return route.at(-1) ?? { lat: 0, lon: 0 };
}

/** The whole way, in metres. */
export function lengthOf(route: readonly Place[]): number {
  return route.slice(1).reduce((sum, to, i) => sum + metresBetween(route[i] as Place, to), 0);
}

/** What a satellite receiver makes of it: a few metres off, rounded to about ten centimetres, with the accuracy that it claims. */
export function measured(place: Place, random: SeededRandom): Place & { readonly accuracy: number } {
  const accuracy = random.whole(4, 25);
  const off = (): number => (random.between(-1, 1) * accuracy) / 2 / METRES_PER_DEGREE;
  const rounded = (degrees: number): number => Math.round(degrees * 1e6) / 1e6;
  return { lat: rounded(place.lat + off()), lon: rounded(place.lon + off() * 2), accuracy };
}

export type Crossing = 'geofence-exit' | 'geofence-enter';

/** Whether a step crossed the fence; leaving counts at the radius, coming back at 80 % of it, so that the edge does not flutter. */
export function crossing(home: Place, radius: number, wasOut: boolean, now: Place): Crossing | null {
  const away = metresBetween(home, now);
  if (!wasOut && away > radius) return 'geofence-exit';
  if (wasOut && away < radius * 0.8) return 'geofence-enter';
  return null;
}
