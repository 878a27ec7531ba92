/** The board: what an account may read of the alarms; the port that store/board.ts implements. */
import type { AlarmView, TimelineView } from '../alarms/view.ts';
import type { Viewer } from '../people/access.ts';

/** How many technical alarms a snapshot holds; the rest are read page by page. */
export const TECHNICAL_SHOWN = 200;

/** Open alarms that an account sees, by priority. */
export interface BoardCounts {
  readonly life: number;
  readonly urgent: number;
  readonly care: number;
  readonly technical: number;
}

export interface OpenBoard {
  /** All life, urgent and care alarms and the first 200 technical ones; most urgent first, then oldest. */
  readonly alarms: readonly AlarmView[];
  readonly counts: BoardCounts;
}

export interface PageRequest {
  readonly state: 'open' | 'closed';
  /** `next` of the page before; null for the first. */
  readonly cursor: string | null;
  /** 1 to 500. */
  readonly limit: number;
}

export interface AlarmPage {
  /** Open: most urgent first, then oldest. Closed: the last closed first. */
  readonly alarms: readonly AlarmView[];
  /** Null on the last page. */
  readonly next: string | null;
}

export interface ToldAlarm {
  readonly alarm: AlarmView;
  /** In order; of a very long one how it began and the newest. */
  readonly timeline: readonly TimelineView[];
  /** Entries between those that are not given. */
  readonly leftOut: number;
}

/** Everything here keeps to `sightOf` (people/access.ts): an alarm that the viewer may not see is as one that does not exist. */
export interface Board {
  /** @throws CentreError store-away */
  open(viewer: Viewer): Promise<OpenBoard>;
  /** Null when the cursor is none of ours. @throws CentreError store-away */
  page(viewer: Viewer, request: PageRequest): Promise<AlarmPage | null>;
  /** Null when there is no such alarm for this viewer; any text may be asked for. @throws CentreError store-away */
  one(viewer: Viewer, number: string): Promise<ToldAlarm | null>;
}
