/**
 * The centre's own configuration with the shortest waits that it allows, so that ladders climb while a fault lasts. Everybody
 * is told by SMS alone: the gateway's log is the record that judges.
 */
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const CONFIG = fileURLToPath(new URL('../../../config', import.meta.url));

/** Seconds from one rung to the next, and before the first. */
export const WAIT_SECONDS = 5;
/** In the order in which they are climbed. */
export const RUNGS = ['supervisor-and-overflow', 'own-zone', 'own-zone-again'] as const;

interface Call {
  waitSeconds: number;
  channels: { via: string; afterSeconds: number }[];
}
interface Ladder {
  waitsSeconds: Record<string, number>;
  rungs: (Call & { name: string; to: { role?: string }[] })[];
  dispatch: Call;
}

const AT_ONCE: Call = { waitSeconds: WAIT_SECONDS, channels: [{ via: 'sms', afterSeconds: 0 }] };

/** Writes it below `folder`, each rung as quick as can be. @param from another version's configuration */
export function hastyConfiguration(folder: string, from = CONFIG): string {
  const made = path.join(folder, 'config');
  cpSync(from, made, { recursive: true });
  const file = path.join(made, 'ladders.json');
  const config = JSON.parse(readFileSync(file, 'utf8')) as { ladders: Ladder[] };
  for (const ladder of config.ladders) {
    ladder.waitsSeconds['unclaimed'] = WAIT_SECONDS;
    ladder.waitsSeconds['claimIdle'] = 10;
    ladder.waitsSeconds['claimWarned'] = WAIT_SECONDS;
    ladder.waitsSeconds['repeatUnseen'] = WAIT_SECONDS;
    ladder.waitsSeconds['ladderRestart'] = 30;
    ladder.rungs = ladder.rungs
      .filter(({ name }) => RUNGS.some((rung) => rung === name))
      .map((rung) => ({ ...rung, ...AT_ONCE, to: rung.to.filter(({ role }) => role !== 'overflow') }));
    ladder.dispatch = AT_ONCE;
  }
  writeFileSync(file, JSON.stringify(config));
  return made;
}
