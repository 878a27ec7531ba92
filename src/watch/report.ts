/** What the watch says of each thing that it looks at: the row that /readyz, /metrics and the console read. */
import type { Instant } from '../base/clock.ts';

/** The auditor, and the canary over each protocol. */
export const WATCH_NAMES = ['audit', 'canary-mqtt', 'canary-scaip'] as const;
export type WatchName = (typeof WATCH_NAMES)[number];

/** What the auditor does in each look; `failed` of its report names those that it could not do. */
export const AUDIT_PARTS = ['look', 'walk'] as const;
export type AuditPart = (typeof AUDIT_PARTS)[number];

export interface WatchReport {
  readonly name: WatchName;
  /** When it was looked at last. */
  readonly at: Instant;
  readonly fine: boolean;
  /** Codes and counts, never anything about persons. Plain JSON. */
  readonly detail: Readonly<Record<string, unknown>>;
}

/** Both throw CentreError store-away. */
export interface WatchReports {
  /** In the place of the report before it, unless that is newer: of two watches the later look counts. */
  write(report: WatchReport): Promise<void>;
  read(): Promise<readonly WatchReport[]>;
}
