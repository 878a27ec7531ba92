/** Whom to send: teams and persons on duty, the proposed ones first. */
import { Alert, Button, Tag } from '@digdir/designsystemet-react';
import { useApp, useLoaded } from './context.tsx';
import type { DispatchTarget } from '../contract.ts';
import { inOrder } from '../view/targets.ts';

interface DispatchPanelProps {
  readonly number: string;
  readonly pending: boolean;
  readonly onSend: (to: string) => void;
}

export function DispatchPanel({ number, pending, onSend }: DispatchPanelProps) {
  const { texts } = useApp();
  const { panel } = texts;
  const targets = useLoaded<{ targets: readonly DispatchTarget[] }>(`/api/v1/dispatch-targets?alarm=${encodeURIComponent(number)}`);
  if (targets.state === 'failed') {
    return (
      <Alert data-color="danger" data-size="sm">
        {texts.app.failed}{' '}
        <Button data-size="sm" variant="secondary" onClick={targets.again}>
          {texts.app.retry}
        </Button>
      </Alert>
    );
  }
  if (targets.value === null) return <p className="waiting">{texts.app.loading}</p>;
  const list = inOrder(targets.value.targets);
  if (list.length === 0) return <Alert data-color="danger">{panel.noTargets}</Alert>;
  return (
    <ul className="targets">
      {list.map((target, index) => (
        <li key={`${target.kind} ${target.to}`}>
          <Button
            variant={index === 0 && target.proposed && target.onDuty > 0 ? 'primary' : 'secondary'}
            data-size="sm"
            aria-disabled={pending || target.onDuty === 0}
            onClick={() => !pending && target.onDuty > 0 && onSend(target.to)}
          >
            {panel.send}: {target.name}
          </Button>
          <span className="target-kind">{target.kind === 'team' ? panel.team : panel.person}</span>
          {target.proposed && (
            <Tag data-size="sm" data-color="info">
              {panel.proposed}
            </Tag>
          )}
          <span className={target.onDuty === 0 ? 'nobody' : 'quiet'}>{panel.onDuty(target.onDuty)}</span>
        </li>
      ))}
    </ul>
  );
}
