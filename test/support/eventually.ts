/** Repeats an expectation until it holds, since real sockets need a moment. */
export async function eventually(expectation: () => void, withinMs = 5000): Promise<void> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    try {
      return expectation();
    } catch (error: unknown) {
      if (performance.now() >= untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
