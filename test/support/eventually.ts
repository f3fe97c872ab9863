/** Repeats an expectation until it holds, since real sockets need a moment. The default bound ends a hang; it is no promise. */
export async function eventually(expectation: () => void | Promise<void>, withinMs = 20_000): Promise<void> {
  const untilMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await expectation();
    } catch (error: unknown) {
      if (performance.now() >= untilMs) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}
