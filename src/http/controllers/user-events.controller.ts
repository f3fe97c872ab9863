import { Body, Controller, Post } from '@nestjs/common';
import { InvalidRequest } from '../../errors/request-errors';
import { fieldsOf } from '../../json/json';
import { PLAIN_USER } from '../request/credential-headers';
import { UserDeprovisioning } from '../../user-deprovisioning/user-deprovisioning';
import { DONE, type Envelope } from '../answers/envelope';
import { EventRoute } from '../request/provider-request';

/** Receives system events of Olares (contract, section 7). Their sender waits 2 s and repeats every event that is answered with 400 or more. */
@Controller('user')
@EventRoute()
export class UserEventsController {
  constructor(private readonly userDeprovisioning: UserDeprovisioning) {}

  @Post('create')
  async created(@Body() body: unknown): Promise<Envelope<''>> {
    await this.userDeprovisioning.userCreated(userOfEvent(body));
    return DONE;
  }

  /** Answers once the deletion job is stored; the job itself runs in the background. */
  @Post('delete')
  async deleted(@Body() body: unknown): Promise<Envelope<''>> {
    await this.userDeprovisioning.userDeleted(userOfEvent(body));
    return DONE;
  }
}

/** Returns the user whom a system event names, and ignores its other fields. @throws InvalidRequest */
function userOfEvent(body: unknown): string {
  const { name } = fieldsOf(body);
  if (typeof name === 'string' && PLAIN_USER.test(name)) return name;
  throw new InvalidRequest('name', 'must be the name of one user');
}
