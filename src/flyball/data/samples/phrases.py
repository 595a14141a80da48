"""What customers of the sample shop ask for, and in which words: by intent, before and after its world changes."""

from __future__ import annotations

from flyball.data.samples.vocabulary import lines

INTENTS: dict[str, tuple[str, ...]] = {
    "order_status": lines("""
        Where is my {item}? I ordered it {when}.
        When will the {item} arrive?
        The tracking page has not moved since {when}.
        {please} tell me when my order gets here?
        My parcel is late and I don't know where it is.
        Has the {item} been shipped yet?
        I am still waiting for the delivery of my {item}.
        Is my package on its way?
        What is the delivery date for my order?
        The courier said {when} but nothing has come.
        My {item} still has not arrived in {place}.
        How long does shipping to {place} take for my order?
    """),
    "cancel_order": lines("""
        {please} cancel my order for the {item}.
        I no longer need the {item}, stop the order.
        I ordered the {item} by mistake, undo it.
        Can I still call off the order I placed {when}?
        I changed my mind about the {item} before it ships.
        Do not send the {item}, I found another one.
        How do I cancel an order that is not shipped yet?
        I clicked buy twice, remove one order.
        Take back my order for the {item} before it leaves the warehouse.
        I want to withdraw my purchase of the {item}.
    """),
    "change_address": lines("""
        I moved to {place}, {please} change the delivery address.
        The address on my order is wrong.
        Send the {item} to my office in {place} instead.
        I typed the wrong street for my order.
        {please} update my shipping address to {place}.
        Can the parcel go to a different address?
        My postcode is out of date, I live in {place} now.
        Deliver the {item} to my parents in {place}.
        How can I edit the house number on my order?
        We are moving {when}, where do I enter the new address?
    """),
    "return_item": lines("""
        I want to send back the {item}.
        How do I return the {item}? It does not fit.
        {please} send me a return label for the {item}.
        The {item} is not what I hoped for, I'd like to return it.
        What is your return policy for the {item}?
        Where do I drop off a return?
        The {item} is too small, I am returning it.
        Can I give back the {item} I bought {when}?
        I do not like the colour of the {item}, how do I send it back?
        Until when can I return the {item}?
    """),
    "refund_status": lines("""
        I sent the {item} back {when} and have no refund yet.
        When do I get my money back for the {item}?
        My refund has not shown up.
        The return was accepted {when} but the money is not in my account.
        How long does a refund to my {cardkind} take?
        You promised a refund {when}.
        Only a part of my refund has arrived.
        Has my refund for the {item} been sent?
        I am still waiting to be paid back for the {item}.
        Where is the money for my returned {item}?
    """),
    "damaged_item": lines("""
        The {item} arrived broken.
        My {item} has a crack in it.
        The box was crushed and the {item} is damaged.
        The {item} stopped working after a day.
        There is a scratch all over my new {item}.
        The {item} was in pieces when I opened the parcel.
        The {item} is faulty and does not turn on.
        A part of the {item} was snapped off.
        My {item} came with a hole in it.
        The {item} is defective, I want a working one.
    """),
    "wrong_item": lines("""
        I ordered a {item} but got a {item2}.
        You sent me the wrong {item}.
        The {item} has the wrong size, I ordered a larger one.
        This is not the {item} that I ordered.
        My parcel had a {item2} in it that I never ordered.
        I received somebody else's {item}.
        The colour of the {item} is not the one I chose.
        There was a {item2} in the box instead of my {item}.
        You mixed up my order with another one.
        The {item} I got is a different model than the one on the page.
    """),
    "payment_failed": lines("""
        My {cardkind} was declined at checkout.
        The payment does not go through.
        I can't pay, it says error at the last step.
        Your site rejects my {cardkind}.
        I tried three times to pay for the {item} and it failed.
        Checkout says that my payment was not authorised.
        Why is my {cardkind} not accepted?
        The bank approved it but your shop says payment failed.
        I get stuck on the payment page.
        Paying for the {item} gives me an error message.
    """),
    "double_charge": lines("""
        I was charged twice for the {item}.
        There are two payments on my {cardkind} for one order.
        You took the money two times.
        My statement shows the {item} twice.
        I see a duplicate charge from {when}.
        Why did you bill me twice?
        The same amount left my account two times {when}.
        One order, two charges, {please} give one back.
        I have been billed double for my {item}.
        Your shop debited my {cardkind} a second time.
    """),
    "invoice_copy": lines("""
        {please} send me the invoice for the {item}.
        I need a receipt for my tax office.
        Where can I download the bill?
        The invoice for my order is missing.
        My company needs an invoice with the VAT number.
        Can I get a copy of the receipt from {when}?
        {please} put my company name on the invoice.
        I lost the receipt for the {item}.
        I never got a bill for the {item}.
        Do you send invoices as PDF?
    """),
    "password_reset": lines("""
        I forgot my password.
        I can't log in to my account.
        The reset link does not work.
        My account is locked after too many tries.
        {please} reset my password.
        I never get the mail to set a new password.
        The login says wrong password but it is right.
        How do I change my password?
        I have no access to my account any more.
        The code for the login never arrives.
    """),
    "delete_account": lines("""
        {please} delete my account.
        I want all my data removed.
        Close my account for good.
        Erase everything you know about me.
        How do I get rid of my customer account?
        I do not want to be a customer any more, remove my profile.
        Under the privacy law I ask you to delete my data.
        Take me off your lists and delete the account.
        I want to shut down my profile.
        Remove my account and my saved {cardkind}.
    """),
    "discount_code": lines("""
        My discount code does not work.
        The voucher is not accepted.
        Where do I enter the coupon?
        I forgot to use my promo code on the {item}.
        The code from your newsletter says expired.
        Can I use two vouchers for the {item}?
        Do students get a discount?
        The coupon took nothing off the price.
        {please} apply my voucher to the order from {when}.
        I was promised ten percent off the {item}.
    """),
    "product_question": lines("""
        Is the {item} available in blue?
        When will the {item} be back in stock?
        What is the {item} made of?
        Does the {item} come with a warranty?
        How heavy is the {item}?
        Which size of the {item} should I take?
        Can I wash the {item} in the machine?
        Does the {item} fit with the {item2}?
        Is the {item} good for children?
        What are the measurements of the {item}?
    """),
}

VAGUE: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("Something is wrong with my order for the {item}.", ("order_status", "wrong_item", "damaged_item")),
    ("There is a problem with the {item} I got {when}.", ("damaged_item", "wrong_item", "return_item")),
    ("I want my money for the {item}.", ("refund_status", "double_charge", "return_item")),
    ("The payment for the {item} looks odd.", ("payment_failed", "double_charge")),
    ("I don't want the {item} any more.", ("cancel_order", "return_item")),
    ("{please} change my order from {when}.", ("change_address", "cancel_order")),
    ("I have a question about my account.", ("password_reset", "delete_account")),
    ("I have a question about the {item}.", ("product_question", "order_status")),
    ("The price of the {item} on my bill is not right.", ("discount_code", "invoice_copy", "double_charge")),
    ("Can you look into my order of the {item}?", ("order_status", "cancel_order", "change_address")),
)
"""Texts that do not tell which of several intents is meant: why nobody can be right all the time."""

AFTER_WORDINGS: dict[str, tuple[str, ...]] = {
    "order_status": lines("""
        The drone has been hovering over {place} since {when} with my {item}.
        My droplet tracker is frozen on the {item}.
        Skyhop says out for flight since {when}.
        No landing slot for my {item} yet.
        The flight of my {item} was rescheduled again.
    """),
    "damaged_item": lines("""
        The {item} got soaked in the skyhop pouch.
        The winch dropped the {item} and it shattered.
        The firmware update bricked my {item}.
        The {item} overheats and blinks red.
        The battery of the {item} swelled up.
    """),
    "payment_failed": lines("""
        FlexiPay refuses my instalment plan.
        My wallet pairing times out at the kiosk.
        The biometric prompt keeps rejecting my thumb.
        FlexiPay says my limit is used up.
        The QR scan at the kiosk never confirms.
    """),
    "return_item": lines("""
        How do I book a boomerang pickup for the {item}?
        The boomerang bag for my {item} never came, I want it gone.
        {please} swap my {item} within the tryout window.
        My tryout of the {item} ends soon and I won't keep it.
        Can the skyhop take the {item} with it again?
    """),
    "discount_code": lines("""
        My loyalty sparks were not counted on the {item}.
        How many sparks do I need for the {item}?
        My sparks balance dropped to zero {when}.
        The referral bonus for my friend was not credited.
        Can I gift my sparks to somebody in {place}?
    """),
    "password_reset": lines("""
        My passkey is gone since I have a new handset.
        The face unlock does not know me any more.
        The authenticator shows a stale token.
        {please} unpair my old handset from the passkey.
        The passkey prompt loops forever.
    """),
}
AFTER_INTENTS: dict[str, tuple[str, ...]] = {
    "locker_pickup": lines("""
        The locker in {place} does not open with my code.
        Which locker is my {item} in?
        The locker door jammed with my {item} inside.
        My pickup window for the locker ran out {when}.
        {please} extend the pickup time at the locker.
        The locker screen in {place} is dark.
        Can a friend empty the locker for me?
        The locker was empty when I opened it.
    """),
    "subscription_pause": lines("""
        {please} pause my refill plan.
        I want to skip the next refill box.
        How do I switch my refill plan to every second month?
        My subscription renewed {when} although I paused it.
        Put my monthly box on hold while I am in {place}.
        Downgrade my membership to the small plan.
        When does my membership renew?
        I want fewer refills of the {item}.
    """),
}
