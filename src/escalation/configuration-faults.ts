/** What no single entry of the configuration shows: names that lead nowhere, twice the same id, alarms that no ladder fits. Pure. */
import { type AlarmPriority, PRIORITIES } from '../alarms/signal.ts';
import type { EscalationFiles } from './configuration.ts';

type Teams = NonNullable<EscalationFiles['teams']>;
type Duty = NonNullable<EscalationFiles['duty']>;
type Ladders = NonNullable<EscalationFiles['ladders']>;

/** Faults between the entries of the files that could be read; a file that could not is passed over. */
export function crossFaults({ teams, duty, ladders }: EscalationFiles, known: readonly string[]): string[] {
  return [
    ...(teams === null ? [] : teamFaults(teams, known)),
    ...(duty === null ? [] : dutyFaults(duty, teams)),
    ...(ladders === null ? [] : [...ladderFaults(ladders, teams, known), ...coverage(ladders)]),
  ];
}

function teamFaults({ zones, teams }: Teams, known: readonly string[]): string[] {
  const faults = [
    ...twice(
      'teams.json',
      'zones',
      zones.map(({ municipality, name }) => `${municipality} ${name}`),
    ),
    ...twice(
      'teams.json',
      'teams',
      teams.map(({ id }) => id),
    ),
  ];
  zones.forEach(({ municipality }, i) => faults.push(...strangers('teams.json', `zones[${i}].municipality`, [municipality], known)));
  const names = zones.map(({ name }) => name);
  teams.forEach((team, i) => {
    if (team.municipalities !== 'all') faults.push(...strangers('teams.json', `teams[${i}].municipalities`, team.municipalities, known));
    if (team.zones !== 'all') faults.push(...unknownZones('teams.json', `teams[${i}].zones`, team.zones, names));
    faults.push(...unknownZones('teams.json', `teams[${i}].helps`, team.helps, names));
  });
  return faults;
}

function dutyFaults({ shifts }: Duty, teams: Teams | null): string[] {
  const faults = twice(
    'duty.json',
    'shifts',
    shifts.map(({ id }) => id),
  );
  shifts.forEach((shift, i) => {
    const at = `duty.json: shifts[${i}]`;
    if (shift.from !== undefined && shift.from === shift.to) {
      faults.push(`${at}.to is the same time as "from": write "from": "00:00", "to": "24:00" for a whole day.`);
    }
    if (teams === null) return;
    const team = teams.teams.find(({ id }) => id === shift.team);
    if (team === undefined) faults.push(`${at}.team is "${shift.team}", which is no team of teams.json.`);
    else {
      for (const account of shift.people.filter((person) => !team.members.includes(person))) {
        faults.push(`${at}.people has "${account}", who is not among the members of the team "${team.id}" in teams.json.`);
      }
    }
  });
  return faults;
}

function ladderFaults({ ladders }: Ladders, teams: Teams | null, known: readonly string[]): string[] {
  const faults = twice(
    'ladders.json',
    'ladders',
    ladders.map(({ id }) => id),
  );
  ladders.forEach((ladder, i) => {
    const at = `ladders[${i}]`;
    faults.push(...strangers('ladders.json', `${at}.for.municipalities`, ladder.for.municipalities ?? [], known));
    faults.push(
      ...twice(
        'ladders.json',
        `${at}.rungs`,
        ladder.rungs.map(({ name }) => name),
      ),
    );
    const need = (ladder.for.priorities ?? NEEDS).some((priority) => priority !== 'technical');
    if (need && !ladder.rungs.some(({ mode }) => mode === 'dispatch')) {
      faults.push(
        `ladders.json: ${at}.rungs has no rung of mode "dispatch": a life, urgent or care alarm that nobody claims would never reach anyone who goes.`,
      );
    }
    if (teams === null) return;
    const zones = teams.zones.map(({ name }) => name);
    faults.push(...unknownZones('ladders.json', `${at}.for.zones`, ladder.for.zones ?? [], zones));
    ladder.rungs.forEach((rung, j) =>
      rung.to.forEach(({ team, role }, k) => {
        const place = `ladders.json: ${at}.rungs[${j}].to[${k}]`;
        if (team !== undefined && !teams.teams.some(({ id }) => id === team))
          faults.push(`${place}.team is "${team}", which is no team of teams.json.`);
        if (role !== undefined && !teams.teams.some((of) => of.role === role)) {
          faults.push(`${place}.role is "${role}", but no team of teams.json has that role.`);
        }
      }),
    );
  });
  return faults;
}

const NEEDS: readonly AlarmPriority[] = ['life', 'urgent', 'care'];

/** Every alarm must find a ladder, and every ladder an alarm: one without conditions for each priority, none behind it. */
function coverage({ ladders }: Ladders): string[] {
  const faults: string[] = [];
  const caught = new Map<AlarmPriority, string>();
  ladders.forEach(({ id, for: what }, i) => {
    const priorities = what.priorities ?? [...NEEDS, 'technical'];
    const before = [...new Set(priorities.map((priority) => caught.get(priority)))];
    const [first] = before;
    if (first !== undefined && !before.includes(undefined)) {
      faults.push(
        `ladders.json: ladders[${i}] ("${id}") is never used: "${first}" stands before it and fits all of its alarms. Put it first, or narrow that one.`,
      );
    }
    if (what.kinds === undefined && what.municipalities === undefined && what.zones === undefined) {
      for (const priority of priorities) if (!caught.has(priority)) caught.set(priority, id);
    }
  });
  for (const priority of PRIORITIES) {
    if (priority === 'information' || caught.has(priority)) continue;
    faults.push(
      `ladders.json: no ladder fits every alarm of priority "${priority}": add one at the end without kinds, municipalities or zones.`,
    );
  }
  return faults;
}

function twice(file: string, place: string, ids: readonly string[]): string[] {
  return ids.flatMap((id, i) =>
    ids.indexOf(id) === i ? [] : [`${file}: ${place}[${i}] is called "${id}", like ${place}[${ids.indexOf(id)}].`],
  );
}

const strangers = (file: string, place: string, given: readonly string[], known: readonly string[]): string[] =>
  given
    .filter((number) => !known.includes(number))
    .map((number) => `${file}: ${place} has ${number}, which is no municipality that this centre serves.`);

const unknownZones = (file: string, place: string, given: readonly string[], known: readonly string[]): string[] =>
  given.filter((zone) => !known.includes(zone)).map((zone) => `${file}: ${place} has "${zone}", which is no zone of teams.json.`);
