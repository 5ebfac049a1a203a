/**
 * Pictures that <use> stamps. The rules of the page that show them in the colours of a theme do not reach what is
 * stamped, so their colours are written into the original.
 *
 * @param {SVGElement} original
 */
export function dress(original) {
    for (const element of [original, ...original.querySelectorAll("*")]) {
        for (const ink of ["fill", "stroke"]) {
            const own = element.getAttribute(`data-${ink}`) ?? element.getAttribute(ink);
            if (!own?.startsWith("#")) continue;
            element.setAttribute(`data-${ink}`, own);
            element.setAttribute(ink, own);
            element.setAttribute(ink, getComputedStyle(element).getPropertyValue(ink));
        }
    }
}
