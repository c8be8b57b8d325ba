// SPDX-License-Identifier: CC0-1.0
// Publishes typed events to listeners; a listener that throws does not stop the others.

type Listener<P> = (payload: P) => void;

export class EventBus<Events extends Record<string, unknown>> {
  private readonly listeners = new Map<keyof Events, Set<Listener<never>>>();

  constructor(private readonly onError: (error: unknown, event: keyof Events) => void) {}

  on<E extends keyof Events>(event: E, listener: Listener<Events[E]>): () => void {
    let group = this.listeners.get(event);
    if (group === undefined) {
      group = new Set();
      this.listeners.set(event, group);
    }
    group.add(listener as Listener<never>);
    return () => {
      group.delete(listener as Listener<never>);
    };
  }

  once<E extends keyof Events>(event: E, listener: Listener<Events[E]>): () => void {
    const stop = this.on(event, (payload) => {
      stop();
      listener(payload);
    });
    return stop;
  }

  emit<E extends keyof Events>(event: E, payload: Events[E]): number {
    // A copy is walked over, since listeners may remove themselves on the way.
    const group = [...(this.listeners.get(event) ?? [])] as Listener<Events[E]>[];
    for (const listener of group) {
      try {
        listener(payload);
      } catch (error) {
        this.onError(error, event);
      }
    }
    return group.length;
  }
}

interface ShopEvents extends Record<string, unknown> {
  opened: { at: Date };
  sold: { item: string; price: number };
}

export function takings(bus: EventBus<ShopEvents>): () => number {
  let total = 0;
  bus.on('sold', ({ price }) => {
    total += price;
  });
  return () => total;
}
