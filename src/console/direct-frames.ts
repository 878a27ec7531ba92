/** Writes what consoles are told of provisional alarms: once for all sockets that are sent the same bytes. */
import { toIso } from '../base/clock.ts';
import { type Viewer, servesWith } from '../people/access.ts';
import { TECHNICAL_SHOWN } from './board.ts';
import { type DirectAlarms, type DirectChange, type ShownProvisional, seesProvisional } from './direct.ts';
import type { ProvisionalAlarmMessage, ProvisionalMessage, ProvisionalReplayedMessage } from './feed-messages.ts';

export interface DirectFrames {
  /** Null for who sees no provisional alarms at all. */
  whole(viewer: Viewer, scope: string): Buffer | null;
  /** Null when the change is none of this viewer's business. */
  change(change: Exclude<DirectChange, { change: 'whole' }>, viewer: Viewer): Buffer | null;
}

const RANK: Readonly<Record<ShownProvisional['priority'], number>> = { life: 0, urgent: 1, care: 2, technical: 3 };

/** Most urgent first, then oldest. */
const byUrgency = (a: ShownProvisional, b: ShownProvisional): number =>
  RANK[a.priority] - RANK[b.priority] || (a.receivedAt < b.receivedAt ? -1 : a.receivedAt > b.receivedAt ? 1 : 0);

const seesAny = ({ roles }: Viewer): boolean => roles.some((role) => role !== 'responder');

/** @param people by account, those whom this process knows: each viewer is told of those who serve the same municipalities */
export function createDirectFrames(direct: DirectAlarms, people: ReadonlyMap<string, Viewer>): DirectFrames {
  const wholes = new Map<string, Buffer>();
  let written = -1;
  let last: { readonly change: DirectChange; readonly frames: Map<string, Buffer> } | null = null;

  return {
    whole(viewer, scope) {
      if (!seesAny(viewer)) return null;
      const revision = direct.revision();
      if (revision !== written) {
        wholes.clear();
        written = revision;
      }
      const before = wholes.get(scope);
      if (before !== undefined) return before;
      const frame = bytes(wholeOf(viewer));
      wholes.set(scope, frame);
      return frame;
    },
    change(change, viewer) {
      if (change.change === 'alarm') {
        return seesProvisional(viewer, change.alarm)
          ? once(change, '', () => ({ type: 'provisional-alarm', alarm: change.alarm, names: nameOf(change.alarm) }))
          : null;
      }
      const { number, alarm, claim, was } = change;
      const owner = claim?.by === viewer.account;
      if (!owner && (was === null || !seesProvisional(viewer, was))) return null;
      return once(change, owner ? viewer.account : '', () => ({
        type: 'provisional-replayed',
        number,
        alarm,
        claim: owner ? claim : null,
      }));
    },
  };

  function once(change: DirectChange, variant: string, make: () => ProvisionalAlarmMessage | ProvisionalReplayedMessage): Buffer {
    if (last?.change !== change) last = { change, frames: new Map() };
    const before = last.frames.get(variant);
    if (before !== undefined) return before;
    const frame = bytes(make());
    last.frames.set(variant, frame);
    return frame;
  }

  function wholeOf(viewer: Viewer): ProvisionalMessage {
    const { storeAway, since, unheard } = direct.state();
    const seen = direct
      .alarms()
      .filter((alarm) => seesProvisional(viewer, alarm))
      .sort(byUrgency);
    const technical = seen.filter(({ priority }) => priority === 'technical').length;
    // The technical ones are the last.
    const more = Math.max(0, technical - TECHNICAL_SHOWN);
    const alarms = seen.slice(0, seen.length - more);
    return {
      type: 'provisional',
      storeAway,
      since: since === null ? null : toIso(since),
      unheard,
      alarms,
      more,
      names: Object.fromEntries([...people].flatMap(([account, one]) => (servesWith(viewer, one) ? [[account, one.name]] : []))),
    };
  }

  function nameOf({ claimedBy }: ShownProvisional): Record<string, string> {
    const name = claimedBy === null ? undefined : people.get(claimedBy)?.name;
    return claimedBy === null || name === undefined ? {} : { [claimedBy]: name };
  }
}

const bytes = (message: ProvisionalMessage | ProvisionalAlarmMessage | ProvisionalReplayedMessage): Buffer =>
  Buffer.from(JSON.stringify(message));
