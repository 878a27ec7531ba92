/** What has happened: this household's earlier alarms, and this alarm's timeline in plain words. */
import { Heading } from '@digdir/designsystemet-react';
import { useMemo } from 'react';
import type { AlarmView, TimelineView } from '../../../alarms/view.ts';
import { dateOf, instantOf, sameDay, timeOfDay, whenText } from '../view/ages.ts';
import { addressOf } from '../view/places.ts';
import { entriesLeftOut, timelineLines } from '../view/timeline.ts';
import { Box } from './card-facts.tsx';
import { nameOf, sayFor, useApp, useNow } from './context.tsx';

const DAY_MS = 24 * 3_600_000;

export function Earlier({ earlier }: { readonly earlier: readonly AlarmView[] }) {
  const app = useApp();
  const now = useNow();
  const { card: t } = app.texts;
  const recent = earlier.filter((alarm) => now - (instantOf(alarm.openedAt) ?? 0) < DAY_MS);
  const older = earlier.filter((alarm) => !recent.includes(alarm));
  return (
    <Box title={t.earlier} id="card-earlier">
      {earlier.length === 0 && <p className="quiet">{t.earlierNone}</p>}
      {recent.length > 0 && (
        <>
          <p className="earlier-count">{t.earlierDay(recent.length)}</p>
          <EarlierList alarms={recent} now={now} />
        </>
      )}
      {older.length > 0 && (
        <details>
          <summary>
            {t.earlierOlder} ({older.length})
          </summary>
          <EarlierList alarms={older} now={now} />
        </details>
      )}
    </Box>
  );
}

function EarlierList({ alarms, now }: { readonly alarms: readonly AlarmView[]; readonly now: number }) {
  const app = useApp();
  const { texts } = app;
  const outcomes: Readonly<Record<string, string>> = texts.outcomes;
  return (
    <ul className="earlier">
      {alarms.map((alarm) => (
        <li key={alarm.number}>
          <a href={addressOf({ screen: 'board', alarm: alarm.number })}>
            {whenText(instantOf(alarm.openedAt) ?? 0, now)} {texts.kinds[alarm.kind]}
          </a>
          {alarm.signalCount > 1 && <span> {texts.board.repeat(alarm.signalCount)}</span>}
          <span className="quiet">
            {alarm.outcome === null ? texts.states[alarm.state] : (outcomes[alarm.outcome] ?? alarm.outcome)}
            {alarm.closedBy === null ? '' : `, ${nameOf(app, alarm.closedBy)}`}
          </span>
        </li>
      ))}
    </ul>
  );
}

export function Timeline({ timeline }: { readonly timeline: readonly TimelineView[] | null }) {
  const app = useApp();
  const { texts } = app;
  const lines = useMemo(
    () => (timeline === null ? null : timelineLines(timeline, texts.events, texts.parts, sayFor(app))),
    [timeline, texts, app],
  );
  const now = app.clock.now();
  const leftOut = timeline === null ? 0 : entriesLeftOut(timeline);
  return (
    <section className="box" aria-labelledby="card-timeline">
      <Heading level={3} data-size="2xs" id="card-timeline">
        {texts.card.timeline}
      </Heading>
      {lines === null && <p className="waiting">{texts.app.loading}</p>}
      {leftOut > 0 && <p className="quiet">{texts.card.timelineLeftOut(leftOut)}</p>}
      {lines !== null && (
        <ol className="timeline" reversed>
          {lines.map((line) => (
            <li key={line.version} data-weight={line.weight}>
              <time dateTime={new Date(line.at).toISOString()}>
                {sameDay(line.at, now) ? '' : `${dateOf(line.at).slice(0, 6)} `}
                {timeOfDay(line.at)}
              </time>
              <span className="timeline-what">
                <span className="timeline-who">{line.actor}</span> {line.text}
                {line.doneAt !== null && <span className="quiet"> ({texts.card.doneAt(whenText(line.doneAt, now))})</span>}
              </span>
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
