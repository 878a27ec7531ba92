/** A position without a map service: in words, as coordinates, and as a sketch from home. */
import type { PositionView as Position } from '../../../alarms/view.ts';
import type { CardHousehold } from '../contract.ts';
import { homePoint } from '../view/facts.ts';
import { coordinates, directionOf, distanceM, distanceText, sketchOf } from '../view/position.ts';
import { Box } from './card-facts.tsx';
import { clockTime, useApp } from './context.tsx';

interface PositionProps {
  readonly position: Position;
  readonly household: CardHousehold | null;
}

export function PositionView({ position, household }: PositionProps) {
  const app = useApp();
  const { card: t } = app.texts;
  const home = homePoint(household);
  return (
    <Box title={t.position} id="card-position">
      <div className="position">
        <div>
          {home !== null && <p>{t.distance(distanceText(distanceM(home, position)), t.directions[directionOf(home, position)] ?? '')}</p>}
          <p>
            <span className="coordinates">{coordinates(position)}</span>
            {position.accuracy !== undefined && <span> {t.accuracy(Math.round(position.accuracy))}</span>}
          </p>
          {position.at !== undefined && <p className="quiet">{t.positionAt(clockTime(app, position.at))}</p>}
          <p>
            <a href={`geo:${position.lat},${position.lon}`}>{t.openMap}</a>
          </p>
        </div>
        {home !== null && <Sketch home={home} position={position} />}
      </div>
    </Box>
  );
}

function Sketch({ home, position }: { readonly home: { lat: number; lon: number }; readonly position: Position }) {
  const { card: t } = useApp().texts;
  const sketch = sketchOf(home, position, position.accuracy ?? 0);
  return (
    <svg className="sketch" viewBox="-10 -10 120 130" role="img" aria-label={t.map}>
      <rect className="sketch-ground" x="-10" y="-10" width="120" height="120" rx="6" />
      <circle className="sketch-accuracy" cx={sketch.here.x} cy={sketch.here.y} r={sketch.accuracyRadius} />
      <line className="sketch-way" x1={sketch.home.x} y1={sketch.home.y} x2={sketch.here.x} y2={sketch.here.y} />
      <rect className="sketch-home" x={sketch.home.x - 3.5} y={sketch.home.y - 3.5} width="7" height="7" />
      <circle className="sketch-here" cx={sketch.here.x} cy={sketch.here.y} r="4" />
      <text x={sketch.home.x} y={sketch.home.y + 12} textAnchor="middle">
        {t.mapHome}
      </text>
      <text x={sketch.here.x} y={sketch.here.y - 7} textAnchor="middle">
        {t.mapHere}
      </text>
      <line className="sketch-scale" x1="-8" y1="115" x2={-8 + sketch.scale.width} y2="115" />
      <text x={-4 + sketch.scale.width} y="118">
        {sketch.scale.metres} m
      </text>
    </svg>
  );
}
