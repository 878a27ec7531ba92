/** Reads zones, teams, plan of duty and ladders from the configuration, strictly; every fault is a sentence with file and place. */
import { normalize, sep } from 'node:path';
import type { z } from 'zod';
import { type Milliseconds, seconds } from '../base/clock.ts';
import { type ConfigReading, readConfigFile, valueOf } from '../people/config-file.ts';
import { crossFaults } from './configuration-faults.ts';
import { type ChannelEntry, DUTY_FILE, LADDERS_FILE, type LocalTimeText, TEAMS_FILE } from './configuration-files.ts';
import { type ChannelPlan, type Escalation, type LocalTime, type Target, WEEKDAYS } from './ladder.ts';

/** What stands in the three files; null: that file could not be read. */
export interface EscalationFiles {
  readonly teams: z.infer<typeof TEAMS_FILE> | null;
  readonly duty: z.infer<typeof DUTY_FILE> | null;
  readonly ladders: z.infer<typeof LADDERS_FILE> | null;
}

/**
 * Reads `teams.json`, `duty.json` and `ladders.json` of a configuration directory.
 * @param known the numbers of the municipalities that the centre serves
 * @returns the frozen configuration, or all of its faults in one go
 */
export function readEscalation(configDir: string, known: readonly string[]): ConfigReading<Escalation> {
  const faults: string[] = [];
  const taken = <T>(reading: ConfigReading<T>): T | null => {
    if ('value' in reading) return reading.value;
    faults.push(...reading.faults);
    return null;
  };
  const teams = taken(readConfigFile(configDir, 'teams.json', TEAMS_FILE));
  const duty = taken(readConfigFile(configDir, 'duty.json', DUTY_FILE));
  const ladders = taken(readConfigFile(configDir, 'ladders.json', LADDERS_FILE));
  const dir = normalize(`${configDir}${sep}`);
  faults.push(...crossFaults({ teams, duty, ladders }, known).map((fault) => `${dir}${fault}`));
  if (faults.length > 0 || teams === null || duty === null || ladders === null) return { faults };
  return { value: deepFreeze(build({ teams, duty, ladders }, known)) };
}

/** The same for a start. @throws CentreError config-invalid, one sentence a fault */
export const loadEscalation = (configDir: string, known: readonly string[]): Escalation => valueOf(readEscalation(configDir, known));

type Read = { readonly [K in keyof EscalationFiles]: NonNullable<EscalationFiles[K]> };

function build({ teams, duty, ladders }: Read, known: readonly string[]): Escalation {
  return {
    zones: teams.zones,
    teams: teams.teams.map((team) => ({
      ...team,
      municipalities: team.municipalities === 'all' ? known : team.municipalities,
      zones: team.zones === 'all' ? null : team.zones,
    })),
    plan: {
      timeZone: duty.timeZone,
      shifts: duty.shifts.map(({ id, team, people, days, from, to }) => ({
        id,
        team,
        people,
        hours: from === undefined || to === undefined ? null : { days: days ?? WEEKDAYS, from: localTime(from), to: localTime(to) },
      })),
    },
    ladders: ladders.ladders.map(({ id, for: what, waitsSeconds, rungs, dispatch }) => ({
      id,
      fits: {
        priorities: what.priorities ?? null,
        kinds: what.kinds ?? null,
        municipalities: what.municipalities ?? null,
        zones: what.zones ?? null,
      },
      spans: {
        unclaimed: seconds(waitsSeconds.unclaimed),
        claimIdle: seconds(waitsSeconds.claimIdle),
        claimWarned: seconds(waitsSeconds.claimWarned),
        repeatUnseen: seconds(waitsSeconds.repeatUnseen),
        longOnSite: seconds(waitsSeconds.longOnSite),
        notClosed: seconds(waitsSeconds.notClosed),
        ladderRestart: seconds(waitsSeconds.ladderRestart),
        dayQueue: seconds(waitsSeconds.dayQueue),
        defaultEta: seconds(waitsSeconds.defaultEta),
      },
      rungs: rungs.map(({ name, mode, to, waitSeconds, channels }) => ({
        name,
        mode,
        to: to.map(({ team, role, zone }): Target => ({ team: team ?? null, role: role ?? null, zone: zone ?? null })),
        wait: seconds(waitSeconds),
        channels: channels.map(channelPlan),
      })),
      dispatch: { wait: seconds(dispatch.waitSeconds), channels: dispatch.channels.map(channelPlan) },
    })),
  };
}

const span = (s: number | undefined, otherwise: Milliseconds): Milliseconds => (s === undefined ? otherwise : seconds(s));

function channelPlan({ via, afterSeconds, afterSecondsForLife }: ChannelEntry): ChannelPlan {
  const after = seconds(afterSeconds);
  return { via, after, afterForLife: span(afterSecondsForLife, after) };
}

function localTime(text: LocalTimeText): LocalTime {
  const [hour = 0, minute = 0] = text.split(':').map(Number);
  return { hour, minute };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
