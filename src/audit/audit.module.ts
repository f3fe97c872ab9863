import { Global, Module, type OnApplicationShutdown } from '@nestjs/common';
import { factory, Runtime } from '../bootstrap/runtime.module';
import type { AuditSettings } from '../config/settings';
import { ServiceProblems } from '../http/controllers/health.controller';
import { LogDestination } from '../logging/log';
import { Telemetry } from '../telemetry/telemetry.module';
import { Clock, MonotonicTime } from '../time/clock';
import { AuditChain } from './audit-chain';
import { AuditSink, BothAuditSinks, StdoutAuditSink } from './audit-sink';
import { AuditTrail } from './audit-trail';

/** The audit trail of the service, where it has one. */
export abstract class Audit {
  abstract readonly trail: AuditTrail | undefined;
}

async function sinkOf(settings: AuditSettings, { lines, log }: Runtime, clock: Clock): Promise<AuditSink> {
  const { key, file } = settings;
  if (file === undefined) return new StdoutAuditSink(lines ?? new LogDestination());
  const { FileAuditSink } = await import('./file.audit-sink.js');
  const chained = new FileAuditSink(file, new AuditChain(key), { clock, log });
  if (settings.sinks === 'file') return chained;
  return new BothAuditSinks(chained, new StdoutAuditSink(lines ?? new LogDestination()));
}

/** Provides the audit trail that the settings ask for, and closes it after everything that it records. */
@Global()
@Module({
  providers: [
    factory(AuditSink, [Runtime, Clock], async (runtime, clock) => {
      const { audit } = runtime.settings;
      return audit && (await sinkOf(audit, runtime, clock));
    }),
    factory(
      Audit,
      [AuditSink, Runtime, Telemetry, ServiceProblems, MonotonicTime],
      (sink, { settings: { audit }, log }, { audit: observer }, problems, time) => {
        if (audit === undefined) return { trail: undefined };
        const trail = new AuditTrail(sink, new AuditChain(audit.key), audit.deadlineMs, {
          log,
          observer,
          time,
        });
        problems.add(() => trail.problems());
        return { trail };
      },
    ),
  ],
  exports: [Audit],
})
export class AuditModule implements OnApplicationShutdown {
  constructor(private readonly audit: Audit) {}

  async onApplicationShutdown(): Promise<void> {
    await this.audit.trail?.close();
  }
}
