/** Fills the disk of each store under load, makes room again, and compares what was acknowledged with what is there. */
import { inNamespace, noMounts } from './namespace.ts';
import { type PowerOptions, type PowerResult, skipped } from './field.ts';

/** PostgreSQL's data and WAL, Redis' append-only file, the spill, and all of the data directory on one disk. */
export const DISKS = ['postgres', 'redis', 'spill', 'all'] as const;
export type DiskName = (typeof DISKS)[number];

export interface DiskFullSettings extends PowerOptions {
  readonly disks?: readonly DiskName[];
}

/** `rounds` times each disk. Nothing is restarted by hand: all must be well by itself once there is room. */
export async function diskFull(options: DiskFullSettings): Promise<PowerResult> {
  const reason = noMounts();
  if (reason !== false) return skipped(reason);
  const { rounds, seed, disks = DISKS } = options;
  return inNamespace<PowerResult>({ rounds, seed, disks }, (line) => options.log(line));
}
