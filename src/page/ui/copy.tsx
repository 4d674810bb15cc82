/** A command or an id, and a button that copies it. */
import { Button } from './button.tsx';
import { done, failed } from './toast.tsx';

/** Pages that came over plain HTTP from another host have no clipboard. */
async function copy(text: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(text);
    done('Copied');
  } catch {
    failed(new Error('The browser allows no copying here. Select the text instead.'));
  }
}

/** `what` names it for screen readers: "the id". */
export const CopyButton = ({ text, what }: { readonly text: string; readonly what: string }) => (
  <Button small look="plain" label={`Copy ${what}`} onPress={() => copy(text)}>
    Copy
  </Button>
);

export const CopyCode = ({ text, what }: { readonly text: string; readonly what: string }) => (
  <div class="copy-code">
    {/* biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard */}
    <pre class="code" tabIndex={0}>
      {text}
    </pre>
    <CopyButton text={text} what={what} />
  </div>
);
