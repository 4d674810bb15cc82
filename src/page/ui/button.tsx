/** A button that shows that it works, and cannot be pressed twice. */
import type { ComponentChildren } from 'preact';
import { useOneAtATime } from './one-at-a-time.ts';

interface ButtonProps {
  /** While a promise is pending, the button is busy. */
  readonly onPress: () => unknown;
  readonly look?: 'primary' | 'danger' | 'plain';
  readonly small?: boolean;
  readonly disabled?: boolean;
  /** For a button without words. */
  readonly label?: string;
  /** The key that does the same, for the help of screen readers: `Alt+A`. */
  readonly shortcut?: string;
  readonly children: ComponentChildren;
}

export function Button({ onPress, look, small = false, disabled, label, shortcut, children }: ButtonProps) {
  const [press, busy] = useOneAtATime(onPress);
  const classes = ['button', look ?? '', small ? 'small' : ''].filter((one) => one !== '').join(' ');
  return (
    <button
      type="button"
      class={classes}
      disabled={disabled}
      aria-busy={busy}
      aria-label={label}
      aria-keyshortcuts={shortcut}
      onClick={() => void press()}
    >
      {children}
    </button>
  );
}
