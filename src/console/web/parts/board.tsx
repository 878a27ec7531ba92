/** The operator's board: lanes by priority beside the open card, sound until somebody takes the alarm, every command by key. */
import { Button, Heading, Paragraph } from '@digdir/designsystemet-react';
import { useEffect, useMemo, useRef, useState } from 'react';
import { type BoardLane, LANES, boardOf, neighbour, outOfSight } from '../view/board.ts';
import type { Texts } from '../texts/nb.ts';
import { readKey } from '../view/commands.ts';
import { countsOf } from '../view/feed.ts';
import { addressOf } from '../view/places.ts';
import { isProvisional } from '../view/provisional.ts';
import { AlarmCard, type CardKeys } from './alarm-card.tsx';
import { AlarmRow, subjectOf } from './alarm-row.tsx';
import { focusedNumber, newestOf, rowOf, useAnnouncement, useFollow, useSoundAlarm } from './board-attention.tsx';
import { useApp, useFeed } from './context.tsx';
import { Age } from './feed-status.tsx';
import { KeyHelp } from './key-help.tsx';
import { ProvisionalCard } from './provisional-card.tsx';
import { ProvisionalRow } from './provisional-row.tsx';

/** Rows drawn at first of a lane: all that a person can handle, not all that a power cut can send. */
const CAP = { life: 100, urgent: 100, care: 100, technical: 25 } as const;
const MORE = 100;

const inField = (target: EventTarget | null): boolean =>
  target instanceof HTMLElement && (target.isContentEditable || ['INPUT', 'TEXTAREA', 'SELECT'].includes(target.tagName));

export function Board({ opened }: { readonly opened: string | null }) {
  const app = useApp();
  const { texts, session, tones, go } = app;
  const feed = useFeed();
  const [extra, setExtra] = useState(0);
  const [help, setHelp] = useState(false);
  const { provisional } = feed;
  const sound = useSoundAlarm(feed);
  const announcement = useAnnouncement(feed);
  useFollow(opened, provisional.became);
  const keys = useRef<CardKeys | null>(null);
  const counts = countsOf(feed);
  const lanes = useMemo(
    () =>
      boardOf(feed.open.values(), {
        me: session.account,
        cap: { life: CAP.life + extra, urgent: CAP.urgent + extra, care: CAP.care + extra, technical: CAP.technical + extra },
        counts,
        provisional: provisional.alarms.values(),
        provisionalLeft: provisional.more,
      }),
    // The counts change only with the feed.
    [feed, session.account, extra],
  );
  const newest = newestOf(feed);
  const early = Object.fromEntries(lanes.map((lane) => [lane.priority, lane.provisional.length + lane.provisionalMore]));
  const totals = LANES.map((lane) => ({ lane, count: counts[lane] + (early[lane] ?? 0) }));
  const total = totals.reduce((sum, { count }) => sum + count, 0);

  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      const { key, ctrlKey, altKey, metaKey, target } = event;
      const wish = readKey({ key, ctrlKey, altKey, metaKey, inField: inField(target) });
      if (wish === null || event.defaultPrevented) return;
      if (wish.wish === 'help') setHelp((shown) => !shown);
      else if (wish.wish === 'sound') void tones.wake();
      else if (wish.wish === 'back') {
        if (help) setHelp(false);
        else if (keys.current?.back() !== true && opened !== null) leave(opened);
      } else if (wish.wish === 'move') {
        const next = neighbour(lanes, focusedNumber() ?? opened, wish.step);
        if (next === null) return;
        rowOf(next)?.focus();
      } else if (opened === null || (focusedNumber() !== null && focusedNumber() !== opened)) {
        // A command without a card opens the card that it would be about, and does no more: nobody acts unseen.
        const about = focusedNumber() ?? neighbour(lanes, null, 1);
        if (about === null) return;
        go(addressOf({ screen: 'board', alarm: about }));
      } else keys.current?.press(wish.command);
      event.preventDefault();
    }
    function leave(number: string): void {
      go(addressOf({ screen: 'board', alarm: null }));
      requestAnimationFrame(() => rowOf(number)?.focus());
    }
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [go, help, lanes, opened, tones]);

  return (
    <div className="board" data-open={opened !== null}>
      <Heading level={1} className="visually-hidden">
        {texts.board.title}
      </Heading>
      <div role="alert">
        {sound === 'muted' && (
          <p className="banner" data-kind="sound">
            <strong>{texts.app.soundOff}</strong>{' '}
            <span>
              {texts.app.soundKey}{' '}
              <Button data-size="sm" data-color="neutral" variant="secondary" onClick={() => void tones.wake()}>
                {texts.app.soundOn}
              </Button>
            </span>
          </p>
        )}
      </div>
      <p className="visually-hidden" aria-live="assertive">
        {announcement}
      </p>
      <div className="board-grid">
        <section className="lanes" aria-label={texts.board.title}>
          <div className="lanes-head">
            <strong className="lanes-title" aria-hidden="true">
              {texts.board.title}
            </strong>
            <ul className="totals" aria-hidden="true">
              {totals.map(({ lane, count }) => (
                <li key={lane} data-priority={lane} data-none={count === 0}>
                  {count}
                </li>
              ))}
            </ul>
            <Button variant="tertiary" data-size="sm" data-color="neutral" onClick={() => setHelp(true)} className="only-wide">
              {texts.board.help} <kbd>?</kbd>
            </Button>
          </div>
          {newest !== null && outOfSight(lanes, newest.number) && (
            <a className="newest" href={addressOf({ screen: 'board', alarm: newest.number })} data-priority={newest.priority}>
              <span>{texts.board.newest}</span>
              <strong>
                {texts.kinds[newest.kind]}, {subjectOf(app, newest)}
              </strong>
              <Age since={newest.at} />
            </a>
          )}
          {feed.feed === null && <p className="waiting">{texts.app.connecting}</p>}
          {feed.feed !== null && total === 0 && (
            <div className="empty">
              <Heading level={2} data-size="xs">
                {texts.board.empty}
              </Heading>
              <Paragraph>{texts.board.emptyHelp}</Paragraph>
            </div>
          )}
          {total > 0 &&
            lanes.map((lane) => <Lane key={lane.priority} lane={lane} opened={opened} onMore={() => setExtra((n) => n + MORE)} />)}
        </section>
        {opened !== null &&
          (isProvisional(opened) ? (
            <ProvisionalCard key={opened} number={opened} keys={keys} />
          ) : (
            <AlarmCard key={opened} number={opened} keys={keys} />
          ))}
      </div>
      {help && <KeyHelp onClose={() => setHelp(false)} />}
    </div>
  );
}

/** How many of what there are in a lane, in words. */
function laneText({ board, provisional: words }: Texts, { priority, rows, total, provisional, provisionalMore }: BoardLane): string {
  const early = provisional.length + provisionalMore;
  const waiting = rows.filter((alarm) => alarm.state === 'waiting').length;
  const parts = [
    ...(early > 0 ? [words.count(early)] : []),
    ...(total > 0 ? [board.open(total)] : []),
    ...(waiting > 0 && priority !== 'technical' ? [board.waiting(waiting)] : []),
  ];
  return parts.length === 0 ? board.laneEmpty : parts.join(' · ');
}

interface LaneProps {
  readonly lane: BoardLane;
  readonly opened: string | null;
  readonly onMore: () => void;
}

function Lane({ lane, opened, onMore }: LaneProps) {
  const { texts } = useApp();
  const { priority, rows, more, provisional, provisionalMore } = lane;
  // Only what was sent can be drawn: the rest of a flood is a number.
  const heldMore = rows.length > 0 && more > 0;
  return (
    <section className="lane" data-priority={priority} aria-labelledby={`lane-${priority}`}>
      <div className="lane-head">
        <Heading level={2} data-size="2xs" id={`lane-${priority}`}>
          {texts.priorities[priority]}
        </Heading>
        <span className="lane-count">{laneText(texts, lane)}</span>
      </div>
      {(provisional.length > 0 || rows.length > 0) && (
        <ul className="rows">
          {provisional.map((alarm) => (
            <ProvisionalRow key={alarm.number} alarm={alarm} opened={alarm.number === opened} />
          ))}
          {provisionalMore > 0 && (
            <li className="more">
              {texts.provisional.more(provisionalMore)}{' '}
              <Button variant="tertiary" data-size="sm" onClick={onMore}>
                {texts.board.showMore}
              </Button>
            </li>
          )}
          {rows.map((alarm) => (
            <AlarmRow key={alarm.number} alarm={alarm} opened={alarm.number === opened} />
          ))}
        </ul>
      )}
      {heldMore && (
        <p className="more">
          {texts.board.more(more)}{' '}
          <Button variant="tertiary" data-size="sm" onClick={onMore}>
            {texts.board.showMore}
          </Button>
        </p>
      )}
    </section>
  );
}
