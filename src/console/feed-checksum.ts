/** The count and sum of versions by which a console finds out that it missed something; runs on the server and in browsers. */

/** What of an alarm counts; an AlarmView has it. */
export interface Counted {
  readonly version: number;
  readonly priority: string;
  readonly state: string;
}

export interface Sum {
  readonly count: number;
  /** Of the alarms' versions. */
  readonly versions: number;
}

/** Over the open alarms that an account sees: all of them, and those of priority life, urgent and care. */
export interface Checksum extends Sum {
  readonly needs: Sum;
}

/** Closed alarms may be among those given; they do not count. */
export function checksum(alarms: Iterable<Counted>): Checksum {
  let count = 0;
  let versions = 0;
  let needs = 0;
  let needVersions = 0;
  for (const alarm of alarms) {
    if (alarm.state === 'closed') continue;
    count += 1;
    versions += alarm.version;
    if (alarm.priority === 'technical') continue;
    needs += 1;
    needVersions += alarm.version;
  }
  return { count, versions, needs: { count: needs, versions: needVersions } };
}

/**
 * Whether what a console holds is what the centre shows it. `complete` is the last snapshot's: false when technical
 * alarms were left out of it; then only life, urgent and care can be compared.
 */
export function agrees(pulse: Checksum, held: Iterable<Counted>, complete: boolean): boolean {
  const own = checksum(held);
  const [theirs, ours] = complete ? [pulse, own] : [pulse.needs, own.needs];
  return theirs.count === ours.count && theirs.versions === ours.versions;
}
