/** What the auditor needs: plain reads of the tables, and somebody who mends. */
import type { Alarm, Deadline } from '../alarms/alarm.ts';
import type { Repaired } from '../alarms/command.ts';
import type { Instant } from '../base/clock.ts';
import type { AuditLook } from './auditor-checks.ts';
import type { Examined } from './auditor-verdict.ts';

/** An alarm that could be examined next; `version` is how long its timeline is. */
export interface Candidate {
  readonly number: string;
  readonly version: number;
}

/** Plain statements that share nothing with the code that they judge. Every call throws CentreError store-away. */
export interface AuditStore {
  /** What is late or forgotten at `now`, in one statement. */
  look(now: Instant): Promise<AuditLook>;
  /** Where the walk goes on. */
  candidates(from: Places): Promise<Candidates>;
  /** Row and timeline of each, in one snapshot; of a timeline longer than LONGEST_EXAMINED its beginning, one entry longer. */
  examine(numbers: readonly string[]): Promise<readonly Examined[]>;
}

export interface Candidates {
  /** Of those that were named, those that there are; in no order. */
  readonly suspected: readonly Candidate[];
  /** The newest first. */
  readonly changed: readonly Candidate[];
  /** The newest first. */
  readonly justClosed: readonly Candidate[];
  /** The next by number. */
  readonly open: readonly Candidate[];
  readonly closed: readonly Candidate[];
}

export interface Places {
  /** Numbers of alarms that something is said of. */
  readonly suspected: readonly string[];
  readonly changedSince: Instant;
  readonly openAfter: string;
  readonly closedAfter: string;
}

/** Each is true when it did something; false when there was nothing to do any more, or it was refused. */
export interface Mender {
  passDeadline(alarm: Alarm, deadline: Deadline): Promise<boolean>;
  returnClaim(number: string, account: string): Promise<boolean>;
  /** Makes the row the fold of its timeline again, under the alarm's lock, if it still differs there. */
  refold(number: string, what: Repaired): Promise<boolean>;
  /** Publishes what no relay has. */
  relay(): Promise<boolean>;
  /** Shows what is held longer than it may be. */
  showHeld(): Promise<boolean>;
}
