/** Keeps the rest of the page where one part of it cannot be shown. */
import { Component, type ComponentChildren } from 'preact';
import { messageOf } from './states.tsx';

interface BoundaryProps {
  readonly children: ComponentChildren;
}

export class Boundary extends Component<BoundaryProps, { readonly error: unknown }> {
  override state = { error: null };
  override componentDidCatch(error: unknown): void {
    this.setState({ error });
  }
  override render({ children }: BoundaryProps) {
    const { error } = this.state;
    if (error === null) return children;
    return (
      <p class="notice bad" role="alert">
        This cannot be shown: {messageOf(error)}
      </p>
    );
  }
}
