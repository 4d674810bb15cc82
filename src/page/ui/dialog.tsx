/** A dialog over the page. Escape and a click beside it close it. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { Button } from './button.tsx';

interface DialogProps {
  readonly title: string;
  readonly onClose: () => void;
  readonly children: ComponentChildren;
}

export function Dialog({ title, onClose, children }: DialogProps) {
  const element = useRef<HTMLDialogElement>(null);
  /** The press began beside it. A selection of its text may end there. */
  const pressed = useRef(false);
  useEffect(() => {
    const before = document.activeElement;
    element.current?.showModal();
    return () => {
      if (before instanceof HTMLElement) before.focus();
    };
  }, []);
  return (
    // biome-ignore lint/a11y/useKeyWithClickEvents: Escape is the key for it, and the browser's own
    <dialog
      ref={element}
      class="dialog"
      aria-label={title}
      onClose={onClose}
      onPointerDown={(event) => {
        pressed.current = event.target === element.current;
      }}
      onClick={(event) => {
        if (pressed.current && event.target === element.current) onClose();
      }}
    >
      <header>
        <h2>{title}</h2>
        <span class="spread" />
        <Button look="plain" small label="Close" onPress={onClose}>
          ✕
        </Button>
      </header>
      {children}
    </dialog>
  );
}
