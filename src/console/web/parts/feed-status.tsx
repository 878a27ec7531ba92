/** Whether what is shown is true now: a word in the header, and a banner when it is not. */
import { ageText, instantOf, spanText, whenText } from '../view/ages.ts';
import { STALE_AFTER_MS, freshness } from '../view/feed.ts';
import { useApp, useFeed, useNow } from './context.tsx';

/** `live` is only said while the pulse is really there. */
export function useFreshness(): { fresh: ReturnType<typeof freshness>; lost: boolean; silentFor: number; blindSince: string | null } {
  const { clock } = useApp();
  const feed = useFeed();
  useNow();
  const monotonic = clock.monotonic();
  const silentFor = feed.heardAt === null ? 0 : monotonic - feed.heardAt;
  return { fresh: freshness(feed, monotonic), lost: !feed.connected, silentFor, blindSince: feed.blindSince };
}

export function FeedStatus() {
  const { texts } = useApp();
  const { fresh, lost } = useFreshness();
  const word =
    fresh === 'first' ? texts.app.connecting : fresh === 'stale' ? texts.app.staleShort : lost ? texts.app.connecting : texts.app.live;
  const state = fresh === 'live' && !lost ? 'live' : fresh === 'stale' ? 'stale' : 'connecting';
  return (
    <span className="feed-status" data-state={state} role="status">
      <span className="dot" aria-hidden="true" />
      {word}
    </span>
  );
}

export function StaleBanner() {
  const { texts, clock } = useApp();
  const { fresh, lost, silentFor, blindSince } = useFreshness();
  const blindAt = instantOf(blindSince);
  const stale = fresh === 'stale';
  return (
    <div role="alert">
      {stale && (
        <p className="banner" data-kind="stale">
          <strong>
            {lost
              ? texts.app.lost
              : blindAt !== null
                ? texts.app.blind(whenText(blindAt, clock.now()))
                : texts.app.stale(spanText(Math.max(silentFor, STALE_AFTER_MS)))}
          </strong>
        </p>
      )}
    </div>
  );
}

/** A ticking age; never inside a live region. */
export function Age({ since, label }: { readonly since: string; readonly label?: (text: string) => string }) {
  const now = useNow();
  const text = ageText(since, now) ?? '–';
  return (
    <time className="age" dateTime={since}>
      {label === undefined ? text : label(text)}
    </time>
  );
}
