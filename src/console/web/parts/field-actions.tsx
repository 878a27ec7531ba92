/** What a responder can do on a case: large buttons, the next step first, two taps at most. */
import { useCallback, useState } from 'react';
import type { Outcome } from '../../../alarms/command.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import type { OrderedCommand } from '../contract.ts';
import type { Stage } from '../view/field.ts';
import { useTexts } from './context.tsx';

interface FieldActionsProps {
  readonly alarm: AlarmView;
  readonly stage: Stage;
  readonly onAct: (command: OrderedCommand) => void;
}

const ETAS = [5, 10, 15, 20, 30, 45] as const;
/** How a visit can end, the usual first. */
const VISIT_OUTCOMES: readonly Outcome[] = [
  'helped-on-site',
  'false-alarm',
  'health-service',
  'emergency-112-113',
  'relative-helped',
  'technical-task',
  'test',
  'other',
];

type Asking = 'eta' | 'decline' | 'report' | null;

export function FieldActions({ alarm, stage, onAct }: FieldActionsProps) {
  const { field } = useTexts();
  const [asking, setAsking] = useState<{ what: Asking; stage: Stage }>({ what: null, stage });
  // A question belongs to the stage in which it was asked.
  const what = asking.stage === stage ? asking.what : null;
  const ask = (next: Asking): void => setAsking({ what: next === what ? null : next, stage });
  const act = (command: OrderedCommand): void => {
    setAsking({ what: null, stage });
    onAct(command);
  };
  switch (stage) {
    case 'asked':
      return (
        <div className="case-actions">
          <div className="case-buttons">
            <button type="button" className="big" data-main="true" aria-expanded={what === 'eta'} onClick={() => ask('eta')}>
              {field.accept}
            </button>
            <button type="button" className="big" aria-expanded={what === 'decline'} onClick={() => ask('decline')}>
              {field.decline}
            </button>
          </div>
          {what === 'eta' && <Eta onEta={(etaMinutes) => act({ command: 'accept', etaMinutes })} />}
          {what === 'decline' && <Decline onReason={(reason) => act({ command: 'decline', reason })} />}
        </div>
      );
    case 'going':
      return (
        <div className="case-actions">
          <button type="button" className="big" data-main="true" onClick={() => act({ command: 'arrive' })}>
            {field.arrive}
          </button>
          <div className="case-buttons">
            <button type="button" className="big" data-quiet="true" onClick={() => act({ command: 'note', text: field.noAccessText })}>
              {field.noAccess}
            </button>
            <button type="button" className="big" data-quiet="true" aria-expanded={what === 'decline'} onClick={() => ask('decline')}>
              {field.giveUp}
            </button>
          </div>
          {what === 'decline' && <Decline onReason={(reason) => act({ command: 'decline', reason })} />}
        </div>
      );
    case 'on-site':
      return (
        <div className="case-actions">
          <button type="button" className="big" data-main="true" aria-expanded={what === 'report'} onClick={() => ask('report')}>
            {field.report}
          </button>
          {what === 'report' && <Report alarm={alarm} onReport={(outcome, text) => act({ command: 'report', outcome, text })} />}
          <div className="case-buttons">
            <button type="button" className="big" data-quiet="true" onClick={() => act({ command: 'note', text: field.noAccessText })}>
              {field.noAccess}
            </button>
            <button type="button" className="big" data-quiet="true" onClick={() => act({ command: 'withdraw', what: 'arrival' })}>
              {field.withdrawArrival}
            </button>
          </div>
        </div>
      );
    case 'reported':
    case 'taken':
    case 'closed':
    case 'left':
      return null;
  }
}

/** What just opened must be seen, above the bar of calls. */
function useIntoView(): (element: HTMLElement | null) => void {
  return useCallback((element: HTMLElement | null) => element?.scrollIntoView({ block: 'nearest' }), []);
}

function Eta({ onEta }: { readonly onEta: (minutes: number) => void }) {
  const { field } = useTexts();
  return (
    <fieldset ref={useIntoView()} className="big-choices">
      <legend>{field.acceptIn}</legend>
      {ETAS.map((minutes) => (
        <button key={minutes} type="button" className="big" onClick={() => onEta(minutes)}>
          {field.minutes(minutes)}
        </button>
      ))}
    </fieldset>
  );
}

function Decline({ onReason }: { readonly onReason: (reason: string) => void }) {
  const { field } = useTexts();
  const [other, setOther] = useState('');
  return (
    <fieldset ref={useIntoView()} className="big-choices" data-wide="true">
      <legend>{field.declineWhy}</legend>
      {field.declineReasons.map((reason) => (
        <button key={reason} type="button" className="big" onClick={() => onReason(reason)}>
          {reason}
        </button>
      ))}
      <label className="big-text">
        {field.otherReason}
        <input value={other} onChange={(event) => setOther(event.target.value)} maxLength={200} />
      </label>
      {other.trim() !== '' && (
        <button type="button" className="big" onClick={() => onReason(other.trim())}>
          {field.send}
        </button>
      )}
    </fieldset>
  );
}

interface ReportProps {
  readonly alarm: AlarmView;
  readonly onReport: (outcome: Outcome, text: string) => void;
}

/** Two taps: "Report", then how it went; a line for the operator may be written before the second. */
function Report({ alarm, onReport }: ReportProps) {
  const texts = useTexts();
  const [text, setText] = useState('');
  const id = `report-text-${alarm.number}`;
  return (
    <fieldset ref={useIntoView()} className="big-choices">
      <legend>{texts.field.reportTitle}</legend>
      <label className="big-text" htmlFor={id}>
        {texts.field.reportText}
        <textarea id={id} rows={2} value={text} onChange={(event) => setText(event.target.value)} maxLength={1000} />
      </label>
      {VISIT_OUTCOMES.map((outcome) => (
        <button key={outcome} type="button" className="big" onClick={() => onReport(outcome, text.trim())}>
          {texts.outcomes[outcome]}
        </button>
      ))}
    </fieldset>
  );
}
