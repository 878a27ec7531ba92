/** The console's view of provisional alarms: what the intake processes tell it without any store, and the ports behind it. */
import type { Alias, ProvisionalAlarm, ProvisionalAnswer, ReplayedClaim } from '../alarms/provisional.ts';
import type { Instant } from '../base/clock.ts';
import { type Viewer, sightOf } from '../people/access.ts';

/** A provisional alarm as it is shown. */
export interface ShownProvisional extends ProvisionalAlarm {
  /** The connection to the intake process that keeps it is lost: it may be in PostgreSQL already, and cannot be claimed. */
  readonly lost: boolean;
}

/** `not-kept`: it could not be made durable, and nobody has the alarm; `intake-away`: nobody answered whether it is recorded. */
export type ClaimAnswer = ProvisionalAnswer | { readonly refused: 'not-kept' | 'intake-away' };

export type DirectChange =
  /** Anything may be different: the flags, which alarms there are, which of them are lost. */
  | { readonly change: 'whole' }
  | { readonly change: 'alarm'; readonly alarm: ShownProvisional }
  /** `was` is null when it was not shown any more: then only the owner of `claim` need be told. */
  | {
      readonly change: 'replayed';
      readonly number: string;
      readonly was: ProvisionalAlarm | null;
      readonly alarm: string | null;
      readonly claim: ReplayedClaim | null;
    };

export interface DirectState {
  readonly storeAway: boolean;
  /** Since when, as this process learned of it; null while it is not away. */
  readonly since: Instant | null;
  /** Intake processes that were there and are not heard: what they keep is not seen here. */
  readonly unheard: number;
}

export interface DirectAlarms {
  alarms(): readonly ShownProvisional[];
  /** Null when there is no such one, or it was replayed already. */
  one(number: string): ShownProvisional | null;
  /** The alarm that a number became, as far as this process was told: null for none, undefined when it does not know. */
  became(number: string): string | null | undefined;
  state(): DirectState;
  /** Rises with every change. */
  revision(): number;
  storeAway(): boolean;
  /** Never rejects. Whether the viewer sees the alarm is the caller's business. */
  claim(number: string, viewer: Pick<Viewer, 'account' | 'roles'>, at: Instant): Promise<ClaimAnswer>;
  /** @returns how to stop listening */
  listen(listener: (change: DirectChange) => void): () => void;
}

/** An intake process as the `node` table names it. */
export interface DirectNode {
  readonly id: string;
  /** `host:port`. */
  readonly direct: string;
  /** Of its certificate (DER), in hex; null: it speaks without TLS. */
  readonly directSha256: string | null;
}

/** What PostgreSQL knows of intake processes and of what was replayed. Every call throws CentreError store-away. */
export interface DirectDirectory {
  nodes(now: Instant): Promise<readonly DirectNode[]>;
  /** The centre's secret by which intake knows its consoles. */
  token(): Promise<string>;
  /** Those of these that are in PostgreSQL as an alarm, or in one. */
  replayed(numbers: readonly string[]): Promise<ReadonlyMap<string, Alias>>;
}

/** Whether a provisional alarm exists for this viewer: as for an alarm that nobody was asked to go to. */
export const seesProvisional = (viewer: Viewer, { municipality, priority }: ProvisionalAlarm): boolean =>
  sightOf(viewer, { municipality, priority, asked: [], responder: null, closedAt: null }, 0) !== null;
