import { Injectable, type CanActivate, type ExecutionContext } from '@nestjs/common';
import type { Response } from 'express';
import { Admission } from '../protection/admission';
import {
  accountOf,
  RequestBudgets,
  type BudgetSpent,
  type RequestKind,
  type Spender,
} from '../protection/request-budgets';
import type { ProviderRequest } from './provider-request';
import { kindOf } from './request-kind';
import { SpentCredentials } from './spent-credentials';

/** Behind authentication: whether the caller has budget left for the request, and does not hold all the room there is. */
@Injectable()
export class BudgetGuard implements CanActivate {
  constructor(
    private readonly budgets: RequestBudgets,
    private readonly admission: Admission,
    private readonly spentCredentials: SpentCredentials,
  ) {}

  canActivate(context: ExecutionContext): boolean | Promise<boolean> {
    const http = context.switchToHttp();
    const request = http.getRequest<ProviderRequest>();
    const [kind, spender] = [kindOf(request), spenderOf(request)];
    if (kind === undefined || spender === undefined) return true;
    const account = accountOf('app', spender) ?? spender.user;
    http.getResponse<Response>().once('close', this.admission.enterAs(account, kind));
    const taken = this.budgets.take(kind, spender);
    return taken instanceof Promise
      ? taken.then((spent) => this.go(request, kind, spent))
      : this.go(request, kind, taken);
  }

  private go(request: ProviderRequest, kind: RequestKind, spent: BudgetSpent | undefined): boolean {
    if (spent !== undefined) throw this.spentCredentials.refusal(request, kind, spent);
    return true;
  }
}

function spenderOf({ caller, user }: ProviderRequest): Spender | undefined {
  if (caller !== undefined) return { app: caller.app, user: caller.user };
  return user === undefined ? undefined : { user };
}
