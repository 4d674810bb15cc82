/** A button that opens a small panel beside it. Escape and a click elsewhere close it. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';

interface PopoverProps {
  /** What is on the button. */
  readonly text: ComponentChildren;
  /** Name of the panel, and of a button without words. */
  readonly label: string;
  /** Classes of the button. */
  readonly look?: string;
  /** The content exists only while the panel is open. */
  children(close: () => void): ComponentChildren;
}

/** Pixels between the panel and the button, or the edge of the window. */
const GAP = 6;

export function Popover({ text, label, look = 'button', children }: PopoverProps) {
  const [open, setOpen] = useState(false);
  const panel = useRef<HTMLDivElement>(null);
  const button = useRef<HTMLButtonElement>(null);
  const close = (): void => panel.current?.hidePopover();
  useEffect(() => {
    if (!open || panel.current === null || button.current === null) return;
    place(panel.current, button.current.getBoundingClientRect());
    panel.current.querySelector<HTMLElement>('input, select, textarea, button, a')?.focus();
    addEventListener('scroll', close, { passive: true });
    return () => removeEventListener('scroll', close);
  }, [open]);
  return (
    <>
      <button
        ref={button}
        type="button"
        class={look}
        aria-label={typeof text === 'string' && text.length > 1 ? undefined : label}
        aria-haspopup="dialog"
        aria-expanded={open}
        onClick={() => panel.current?.togglePopover()}
      >
        {text}
      </button>
      <div
        ref={panel}
        class="popover"
        popover="auto"
        role="dialog"
        aria-label={label}
        onToggle={(event) => setOpen(event.newState === 'open')}
      >
        {open && children(close)}
      </div>
    </>
  );
}

/** Below the button, or above it where there is more room. */
function place(panel: HTMLElement, at: DOMRect): void {
  const { width, height } = panel.getBoundingClientRect();
  const left = at.left + width + GAP > innerWidth ? at.right - width : at.left;
  const below = at.bottom + GAP + height <= innerHeight || at.top < innerHeight - at.bottom;
  panel.style.left = `${Math.max(GAP, Math.min(left, innerWidth - width - GAP))}px`;
  panel.style.top = `${Math.max(GAP, below ? at.bottom + GAP : at.top - height - GAP)}px`;
}

interface MenuItem {
  readonly name: string;
  readonly act: () => unknown;
  readonly danger?: boolean;
}

/** What can be done with one thing. */
export function Menu({ label, items }: { readonly label: string; readonly items: readonly MenuItem[] }) {
  if (items.length === 0) return null;
  return (
    <Popover text="⋯" label={label} look="button plain small more">
      {(close) => (
        <div class="menu">
          {items.map(({ name, act, danger = false }) => (
            <button
              key={name}
              type="button"
              class={danger ? 'danger' : ''}
              onClick={() => {
                close();
                void act();
              }}
            >
              {name}
            </button>
          ))}
        </div>
      )}
    </Popover>
  );
}
