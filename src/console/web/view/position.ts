/** Where somebody is seen from home: distance, direction, and a sketch without map tiles. */

export interface Point {
  readonly lat: number;
  readonly lon: number;
}

const EARTH_M = 6_371_000;
const rad = (degrees: number): number => (degrees * Math.PI) / 180;

/** Metres east and north of `from`; flat earth, good to a few per mille within 50 km. */
export function offsetFrom(from: Point, to: Point): { east: number; north: number } {
  return { east: rad(to.lon - from.lon) * Math.cos(rad(from.lat)) * EARTH_M, north: rad(to.lat - from.lat) * EARTH_M };
}

export function distanceM(from: Point, to: Point): number {
  const { east, north } = offsetFrom(from, to);
  return Math.hypot(east, north);
}

/** 0 north, 1 north-east … 7 north-west. */
export function directionOf(from: Point, to: Point): number {
  const { east, north } = offsetFrom(from, to);
  return (Math.round((Math.atan2(east, north) * 4) / Math.PI) + 8) % 8;
}

/** `80 m`, `1,4 km`. */
export function distanceText(metres: number): string {
  if (metres < 995) return `${Math.round(metres / 10) * 10} m`;
  return `${(metres / 1000).toFixed(metres < 9950 ? 1 : 0).replace('.', ',')} km`;
}

/** Five decimals: about a metre. */
export const coordinates = ({ lat, lon }: Point): string => `${lat.toFixed(5)}, ${lon.toFixed(5)}`;

export interface Sketch {
  /** Both in 0–100 of a square with north up. */
  readonly home: { x: number; y: number };
  readonly here: { x: number; y: number };
  readonly accuracyRadius: number;
  /** A round number of metres, and how wide it is in the sketch. */
  readonly scale: { metres: number; width: number };
}

/** Places home and position in a square so that both fit with room around. */
export function sketchOf(home: Point, here: Point, accuracy: number): Sketch {
  const { east, north } = offsetFrom(home, here);
  const span = Math.max(Math.abs(east), Math.abs(north), accuracy, 50) * 2;
  const per = 100 / (span * 1.5);
  const centre = { x: 50 - (east / 2) * per, y: 50 + (north / 2) * per };
  const power = 10 ** Math.floor(Math.log10(span / 2));
  const metres = power * ([5, 2].find((step) => step * power <= span / 2) ?? 1);
  return {
    home: centre,
    here: { x: centre.x + east * per, y: centre.y - north * per },
    accuracyRadius: accuracy * per,
    scale: { metres, width: metres * per },
  };
}
