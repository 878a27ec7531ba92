/** The panel that a command opens under the bar: the card stays in sight while one chooses. */
import { Button, Heading, Paragraph, Textfield } from '@digdir/designsystemet-react';
import { type FormEvent, type ReactNode, useEffect, useRef, useState } from 'react';
import { CONTACT_WAYS, OUTCOMES, type Outcome } from '../../../alarms/command.ts';
import type { AlarmView } from '../../../alarms/view.ts';
import type { OrderedCommand } from '../contract.ts';
import { type ConsoleCommand, withdrawable } from '../view/commands.ts';
import { type PlanTicks, PlanSteps, stepsLeft } from './action-plan.tsx';
import { DispatchPanel } from './dispatch-panel.tsx';
import { useApp, useTexts } from './context.tsx';

interface CommandPanelProps {
  readonly command: ConsoleCommand;
  readonly alarm: AlarmView;
  readonly ticks: PlanTicks;
  readonly pending: boolean;
  readonly onSubmit: (command: OrderedCommand) => void;
  readonly onCancel: () => void;
}

export function CommandPanel(props: CommandPanelProps) {
  const { command, alarm, pending, onSubmit } = props;
  const texts = useTexts();
  const { session } = useApp();
  const { panel } = texts;
  switch (command) {
    case 'confirm-contact':
      return (
        <Frame {...props} title={panel.contactTitle} hint={panel.pressNumber}>
          <Choices
            pending={pending}
            choices={CONTACT_WAYS.map((how) => ({
              label: texts.contactWays[how],
              pick: () => onSubmit({ command: 'confirm-contact', how }),
            }))}
          />
        </Frame>
      );
    case 'dispatch':
      return (
        <Frame {...props} title={panel.dispatchTitle} hint={panel.dispatchHelp}>
          <DispatchPanel number={alarm.number} pending={pending} onSend={(to) => onSubmit({ command: 'dispatch', to })} />
        </Frame>
      );
    case 'note':
      return (
        <Frame {...props} title={panel.noteTitle}>
          <OneText label={panel.noteLabel} button={panel.save} pending={pending} onText={(text) => onSubmit({ command: 'note', text })} />
        </Frame>
      );
    case 'override-contact':
      return (
        <Frame {...props} title={panel.overrideTitle} hint={panel.overrideHelp}>
          <OneText
            label={panel.reason}
            button={texts.commands['override-contact']}
            pending={pending}
            onText={(reason) => onSubmit({ command: 'override-contact', reason })}
          />
        </Frame>
      );
    case 'take-over':
      return (
        <Frame {...props} title={panel.takeOverTitle}>
          <OneText
            label={panel.reason}
            button={texts.commands['take-over']}
            pending={pending}
            onText={(reason) => onSubmit({ command: 'take-over', reason })}
          />
        </Frame>
      );
    case 'snooze':
      return (
        <Frame {...props} title={panel.snoozeTitle}>
          <Snooze pending={pending} onSubmit={onSubmit} />
        </Frame>
      );
    case 'withdraw':
      return (
        <Frame {...props} title={panel.withdrawTitle} hint={panel.pressNumber}>
          <Choices
            pending={pending}
            choices={withdrawable(alarm, session).map((what) => ({
              label: texts.withdrawables[what],
              pick: () => onSubmit({ command: 'withdraw', what }),
            }))}
          />
        </Frame>
      );
    case 'close':
      return (
        <Frame {...props} title={panel.closeTitle}>
          <Close {...props} />
        </Frame>
      );
    case 'claim':
    case 'release':
    case 'see':
      return null;
  }
}

interface FrameProps {
  readonly title: string;
  readonly hint?: string;
  readonly onCancel: () => void;
  readonly children: ReactNode;
}

function Frame({ title, hint, onCancel, children }: FrameProps) {
  const texts = useTexts();
  const frame = useRef<HTMLElement>(null);
  useEffect(() => {
    const first = frame.current?.querySelector<HTMLElement>('input, textarea, button:not(.panel-cancel)');
    first?.focus();
    frame.current?.scrollIntoView({ block: 'nearest' });
  }, []);
  return (
    <section className="panel" aria-label={title} ref={frame}>
      <div className="panel-head">
        <Heading level={3} data-size="2xs">
          {title}
        </Heading>
        <Button className="panel-cancel" variant="tertiary" data-size="sm" data-color="neutral" onClick={onCancel}>
          {texts.app.cancel} <kbd aria-hidden="true">Esc</kbd>
        </Button>
      </div>
      {hint !== undefined && <Paragraph data-size="sm">{hint}</Paragraph>}
      {children}
    </section>
  );
}

interface Choice {
  readonly label: string;
  readonly pick: () => void;
}

/** A few answers, each also under its digit. */
function Choices({ choices, pending }: { readonly choices: readonly Choice[]; readonly pending: boolean }) {
  useEffect(() => {
    function onKey(event: KeyboardEvent): void {
      if (event.ctrlKey || event.altKey || event.metaKey || pending) return;
      const choice = choices[Number(event.key) - 1];
      if (choice === undefined) return;
      event.preventDefault();
      choice.pick();
    }
    addEventListener('keydown', onKey);
    return () => removeEventListener('keydown', onKey);
  }, [choices, pending]);
  return (
    <div className="choices">
      {choices.map(({ label, pick }, index) => (
        <Button key={label} variant="secondary" onClick={pick} aria-disabled={pending} data-size="sm">
          <kbd aria-hidden="true">{index + 1}</kbd> {label}
        </Button>
      ))}
    </div>
  );
}

interface OneTextProps {
  readonly label: string;
  readonly button: string;
  readonly pending: boolean;
  readonly onText: (text: string) => void;
}

function OneText({ label, button, pending, onText }: OneTextProps) {
  const texts = useTexts();
  const [text, setText] = useState('');
  const [missing, setMissing] = useState(false);
  function submit(event: FormEvent): void {
    event.preventDefault();
    if (text.trim() === '') setMissing(true);
    else if (!pending) onText(text.trim());
  }
  return (
    <form className="panel-form" onSubmit={submit}>
      <Textfield
        label={label}
        value={text}
        onChange={(event) => setText(event.target.value)}
        error={missing && text.trim() === '' ? texts.refusals['reason-required'] : undefined}
        data-size="sm"
        maxLength={2000}
      />
      <Button type="submit" loading={pending} data-size="sm">
        {button}
      </Button>
    </form>
  );
}

const SNOOZES = [15, 60, 240, 1440] as const;

function Snooze({ pending, onSubmit }: Pick<CommandPanelProps, 'pending' | 'onSubmit'>) {
  const { panel } = useTexts();
  const [minutes, setMinutes] = useState<number>(60);
  return (
    <>
      <fieldset className="pills">
        <legend>{panel.snoozeFor}</legend>
        {SNOOZES.map((span) => (
          <label key={span}>
            <input type="radio" name="snooze" checked={minutes === span} onChange={() => setMinutes(span)} />
            {panel.minutes(span)}
          </label>
        ))}
      </fieldset>
      <OneText
        label={panel.reason}
        button={panel.snoozeDo}
        pending={pending}
        onText={(reason) => onSubmit({ command: 'snooze', minutes, reason })}
      />
    </>
  );
}

/** What fits an alarm about a thing, and what fits one about a person. */
const TECHNICAL: readonly Outcome[] = ['technical-fixed', 'technical-task', 'restored', 'false-alarm', 'test', 'other'];
const NEED = OUTCOMES.filter((outcome) => outcome !== 'restored' && outcome !== 'technical-fixed');

function Close({ alarm, ticks, pending, onSubmit }: CommandPanelProps) {
  const texts = useTexts();
  const { panel } = texts;
  const [outcome, setOutcome] = useState<Outcome | null>(null);
  const [text, setText] = useState('');
  const [tried, setTried] = useState(false);
  const left = stepsLeft(ticks);
  const [askedSteps] = useState(left > 0);
  function submit(event: FormEvent): void {
    event.preventDefault();
    setTried(true);
    if (outcome !== null && left === 0 && !pending) onSubmit({ command: 'close', outcome, text: text.trim() });
  }
  return (
    <form className="close-form" onSubmit={submit}>
      <fieldset className="pills">
        <legend>{panel.outcome}</legend>
        {(alarm.priority === 'technical' ? TECHNICAL : NEED).map((one) => (
          <label key={one}>
            <input type="radio" name="outcome" value={one} checked={outcome === one} onChange={() => setOutcome(one)} />
            {texts.outcomes[one]}
          </label>
        ))}
      </fieldset>
      {askedSteps && (
        <fieldset className="plain">
          <legend>{panel.stepsLeft}</legend>
          <PlanSteps ticks={ticks} onlyRequired />
        </fieldset>
      )}
      <div className="panel-form">
        <Textfield
          label={panel.cause}
          description={panel.causeHelp}
          value={text}
          onChange={(event) => setText(event.target.value)}
          data-size="sm"
          maxLength={2000}
        />
        <Button type="submit" loading={pending} data-size="sm">
          {panel.closeTitle}
        </Button>
      </div>
      <p className="field-error" role="alert">
        {tried && outcome === null ? panel.chooseOutcome : tried && left > 0 ? texts.card.requiredLeft(left) : ''}
      </p>
    </form>
  );
}
