/** What stands in place of a card that could not be read. */
import { Alert, Button } from '@digdir/designsystemet-react';
import { useApp } from './context.tsx';

export function Failed({ status, again }: { readonly status: number | null; readonly again: () => void }) {
  const { texts } = useApp();
  return (
    <Alert data-color="warning">
      <p>{status === 404 ? texts.app.notFound : texts.app.failed}</p>
      {status !== 404 && (
        <Button data-size="sm" variant="secondary" onClick={again}>
          {texts.app.retry}
        </Button>
      )}
    </Alert>
  );
}
